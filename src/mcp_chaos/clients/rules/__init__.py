"""Rules that hold under disturbance: one function each, registered by its name, in files by what they are about."""

from mcp_chaos.clients.rules import capacity, requests, sessions, streams
from mcp_chaos.clients.rules.registry import RULES, Subject, check_rules, check_rules_in_versions

__all__ = ["RULES", "Subject", "capacity", "check_rules", "check_rules_in_versions", "requests", "sessions", "streams"]
