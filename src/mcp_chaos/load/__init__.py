"""The load: when (shape), what (workload), over which connections (engine), in a process of its own (worker)."""
