"""Read-only readings of the server under test, by realistic clients of their own."""
