"""The load: when (shape), by whom (clients), at what pace (engine), in processes of its own (main)."""
