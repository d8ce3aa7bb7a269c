"""The figures of the fuzzing, told at the end."""

from collections import Counter

import pytest

from tests.fuzz.commands import COUNTED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many inputs of which kind ended in which way."""
    kinds = Counter[str]()
    for (kind, _), number in COUNTED.items():
        kinds[kind] += number
    for kind, total in sorted(kinds.items()):
        ways = ", ".join(f"{number} {way}" for (of, way), number in sorted(COUNTED.items()) if of == kind)
        terminalreporter.write_line(f"{kind}: {total} ({ways})")
    if kinds:
        terminalreporter.write_line(f"{kinds.total()} inputs")
