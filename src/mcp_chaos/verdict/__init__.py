"""From a history to a verdict, by pure functions."""
