"""How many connections it takes to tell that a fault strikes a fraction of them, and when they have told it."""

import math

_SURE = 0.999
LONGEST_PROOF_S = 20.0
"""A fault that takes longer to prove is refused beforehand: its window would be the proof's."""

FEW, CLEAR = 6, 2
"""How many struck connections prove a delay that noise may look like, and one that it does not."""


def connections_needed(fraction: float, struck: int) -> int:
    """How many connections it takes until at least ``struck`` of them are struck, in 999 of 1000 tries.

    Args:
        fraction: of connections that are struck, more than 0 and less than 1.
        struck: at least 1.
    """
    connections = struck
    while _fewer_than(struck, connections, fraction) > 1 - _SURE:
        connections += max(1, connections // 50)
    return connections


def _fewer_than(struck: int, connections: int, fraction: float) -> float:
    """The binomial probability that fewer are struck; by logarithms, as the terms underflow."""
    logs = (
        math.lgamma(connections + 1)
        - math.lgamma(k + 1)
        - math.lgamma(connections - k + 1)
        + k * math.log(fraction)
        + (connections - k) * math.log1p(-fraction)
        for k in range(struck)
    )
    return math.fsum(math.exp(log) for log in logs)


def tells(struck: int, struck_clean: int, needed: int) -> bool:
    """Whether so many struck connections, and so many on the clean way that looked like it, are no chance.

    Where every tenth connection is as slow by chance, FEW says so by mistake in about 5 of 100 cases (simulated).
    """
    return struck - struck_clean >= needed and struck >= 4 * struck_clean
