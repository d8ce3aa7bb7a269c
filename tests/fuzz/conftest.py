"""The figures of the fuzzing, told at the end."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.fuzz.commands import COUNTED


@pytest.fixture(scope="session", autouse=True)
def _figures(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not COUNTED:
        return
    kinds = Counter[str]()
    for (kind, _), number in COUNTED.items():
        kinds[kind] += number
    reporter.write_line(f"\n{kinds.total()} inputs")
    for kind, total in sorted(kinds.items()):
        ways = ", ".join(f"{number} {way}" for (of, way), number in sorted(COUNTED.items()) if of == kind)
        reporter.write_line(f"  {kind}: {total} ({ways})")
