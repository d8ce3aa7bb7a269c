"""How many connections tell that a fault strikes some of them: simulated, not trusted."""

import random

import pytest

from mcp_chaos.faults.rarity import FEW, connections_needed, tells


@pytest.mark.parametrize(("fraction", "struck"), [(0.01, 1), (0.01, FEW), (0.2, FEW), (0.5, 2), (0.99, 1)])
def test_so_many_connections_are_enough_in_999_of_1000_tries(fraction: float, struck: int) -> None:
    chances = random.Random(1)
    connections = connections_needed(fraction, struck)
    tries = 4000
    missed = sum(sum(chances.random() < fraction for _ in range(connections)) < struck for _ in range(tries))
    assert missed <= 0.003 * tries
    assert connections <= 1.03 * _fewest(fraction, struck) + 1


def _fewest(fraction: float, struck: int) -> int:
    """The least number, by adding one at a time and the exact distribution."""
    chances = [1.0] + [0.0] * (struck - 1)  # of k struck so far, k < struck
    connections = 0
    while sum(chances) > 0.001:
        connections += 1
        chances = [chances[k] * (1 - fraction) + (chances[k - 1] * fraction if k else 0.0) for k in range(struck)]
    return connections


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.1])
def test_noise_on_both_ways_tells_nothing(noise: float) -> None:
    chances = random.Random(2)
    told = 0
    for _ in range(1000):
        struck = [0, 0]
        for _ in range(connections_needed(0.2, FEW)):
            for way in (0, 1):
                struck[way] += chances.random() < noise
            if tells(struck[0], struck[1], FEW):
                told += 1
                break
    assert told <= 60
