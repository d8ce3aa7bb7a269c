"""Faults: what they are, how Toxiproxy is told, how they are injected, proven and healed."""
