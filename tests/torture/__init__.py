"""Kill and stop everything that starts something, at random moments, and look at what is left: ``make torture``.

Each try starts one command, waits for a moment of it, does one thing to it, and then looks: no toxic, no proxy, no
process, no temporary folder, no entry in the register of this machine; ``mcp-chaos report`` reads what is there, and
never says *pass*. What was tried is drawn from a seed, so a row can be tried again.
"""
