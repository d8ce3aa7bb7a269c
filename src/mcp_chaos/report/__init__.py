"""What a person sees: progress while a load runs, the table at the end."""
