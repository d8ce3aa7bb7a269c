"""What a load calls."""
