"""Servers that real people run, each of one version, obtained once per machine; and the table of what became of them.

``python -m tests.real_servers`` (``make targets``) runs the shipped experiment against each of them and writes
``docs/targets.md``.
"""
