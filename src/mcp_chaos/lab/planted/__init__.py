"""Planted defects of the reference server, in files by what they are about; each counts how often it bit."""

from mcp_chaos.lab.planted import answers, health, leaks, lost_clients, sessions, streams
from mcp_chaos.lab.planted.registry import BITES, MIDDLEWARE

__all__ = ["BITES", "MIDDLEWARE", "answers", "health", "leaks", "lost_clients", "sessions", "streams"]
