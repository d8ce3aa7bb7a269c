"""What the machine gives a run: processes, locks, its pulse and its terminal."""
