"""The clients of a load: how the calls of each dialect travel."""
