"""What happened in a run, as records and as files."""
