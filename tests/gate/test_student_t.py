"""Quantiles of Student's t distribution, against the tables that people look them up in."""

import pytest

from mcp_chaos.gate.student_t import quantile

# Source: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2, critical values of the Student's t distribution.
TABLE = {
    1: {0.90: 3.078, 0.95: 6.314, 0.975: 12.706, 0.99: 31.821, 0.995: 63.657, 0.999: 318.313},
    2: {0.90: 1.886, 0.95: 2.920, 0.975: 4.303, 0.99: 6.965, 0.995: 9.925, 0.999: 22.327},
    4: {0.90: 1.533, 0.95: 2.132, 0.975: 2.776, 0.99: 3.747, 0.995: 4.604, 0.999: 7.173},
    5: {0.90: 1.476, 0.95: 2.015, 0.975: 2.571, 0.99: 3.365, 0.995: 4.032, 0.999: 5.893},
    9: {0.90: 1.383, 0.95: 1.833, 0.975: 2.262, 0.99: 2.821, 0.995: 3.250, 0.999: 4.297},
    30: {0.90: 1.310, 0.95: 1.697, 0.975: 2.042, 0.99: 2.457, 0.995: 2.750, 0.999: 3.385},
    100: {0.90: 1.290, 0.95: 1.660, 0.975: 1.984, 0.99: 2.364, 0.995: 2.626, 0.999: 3.174},
}


@pytest.mark.parametrize("degrees_of_freedom", TABLE)
def test_quantiles_are_those_of_the_table(degrees_of_freedom: int) -> None:
    for probability, value in TABLE[degrees_of_freedom].items():
        assert quantile(degrees_of_freedom, probability) == pytest.approx(value, abs=1e-3, rel=2e-5)


def test_half_of_all_values_are_below_zero() -> None:
    assert quantile(7, 0.5) == pytest.approx(0, abs=1e-12)


def test_far_out_and_with_many_degrees_it_is_still_exact() -> None:
    assert quantile(10, 0.9995) == pytest.approx(4.586894, abs=1e-6)
    assert quantile(1000, 0.975) == pytest.approx(1.962339, abs=1e-6)


@pytest.mark.parametrize(("degrees_of_freedom", "probability"), [(0, 0.9), (4, 1.0), (4, 0.4), (4, float("nan"))])
def test_what_has_no_quantile_is_refused(degrees_of_freedom: int, probability: float) -> None:
    with pytest.raises(ValueError, match="no quantile"):
        quantile(degrees_of_freedom, probability)
