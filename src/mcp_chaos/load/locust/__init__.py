"""Locust's users, and a load that Locust makes."""
