"""One run: its parts, its faults, its loads, and the end of all of them."""
