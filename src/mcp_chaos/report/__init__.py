"""What a person sees of a run: the table at its end, its page, its metrics."""
