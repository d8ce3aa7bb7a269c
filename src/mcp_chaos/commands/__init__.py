"""What the commands do that need no experiment."""
