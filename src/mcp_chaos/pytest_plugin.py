"""A pytest plugin: break the network of an MCP server inside its own test suite.

Fixtures: ``toxiproxy`` (the URL of a Toxiproxy that runs while the tests do), ``mcp_target`` (the URL of the server; a
suite defines its own, or gives ``MCP_URL``), ``faulted_lane`` (a way to the server that can be broken, and one that is
never). Experiments are collected as tests where the ini option ``mcp_chaos_experiments`` says so. See docs/pytest.md.

Everything else is imported when it is needed: pytest loads this module in every run of everybody who has it installed.
"""

import fnmatch
import os
from collections.abc import Iterable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mcp_chaos.run import Run

_EXPERIMENTS = "mcp_chaos_experiments"
_PROFILE = "mcp_chaos_profile"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The ini options."""
    parser.addini(_EXPERIMENTS, "files collected as experiments, as patterns of paths from the root", "args", [])
    parser.addini(_PROFILE, "a profile with numbers for them, a path from the root", "string", "")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "ExperimentFile | None":
    """Take the files that were named as experiments."""
    root = parent.config.rootpath
    if not file_path.is_relative_to(root):
        return None
    path = str(file_path.relative_to(root))
    if not any(fnmatch.fnmatch(path, pattern) for pattern in parent.config.getini(_EXPERIMENTS)):
        return None
    return ExperimentFile.from_parent(parent, path=file_path)


class ExperimentFile(pytest.File):
    """A file with an experiment."""

    def collect(self) -> Iterable[pytest.Item]:
        """Its one test."""
        yield ExperimentItem.from_parent(self, name="experiment")


class DidNotPassError(Exception):
    """An experiment did not pass; the message says why, and where its run is kept."""


class ExperimentItem(pytest.Item):
    """An experiment as a test: it passes when its verdict is *pass*."""

    def runtest(self) -> None:
        """Run it.

        Raises:
            DidNotPassError: it failed, or proves nothing.
        """
        from mcp_chaos.errors import EXIT_PASS, McpChaosError
        from mcp_chaos.gate.plan import make_plan, read_profile
        from mcp_chaos.gate.result import ABORTED, Comparison
        from mcp_chaos.gate.runner import run_plan

        profile = self.config.getini(_PROFILE)
        try:
            plan = make_plan([self.path], read_profile(self.config.rootpath / profile) if profile else {})
            with chdir(self.path.parent):  # where its workload is, and where it is run by hand
                plan.check()
                result = run_plan(plan, print, lambda title, attempt: Comparison())
        except McpChaosError as error:
            raise DidNotPassError(str(error)) from None
        (experiment,) = result.experiments
        if experiment.outcome == ABORTED:
            raise KeyboardInterrupt  # it was for pytest as well
        if result.exit_code != EXIT_PASS:
            kept = f"The run is kept in {experiment.run}" if experiment.run else "No run was made"
            raise DidNotPassError("\n".join([f"{experiment.title}: {experiment.outcome}", *experiment.reasons, kept]))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The message alone: a traceback of ours tells nobody anything."""
        if isinstance(excinfo.value, DidNotPassError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it is, and what it is called."""
        return self.path, None, f"experiment: {self.path.name}"


@pytest.fixture(scope="session")
def toxiproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the API of a Toxiproxy: that of TOXIPROXY_URL, or one that runs while the tests do."""
    from mcp_chaos.lab import parts, toxiproxy_server

    if os.environ.get("TOXIPROXY_URL"):
        yield os.environ["TOXIPROXY_URL"]
        return
    part = parts.toxiproxy(toxiproxy_server.ensure(print), tmp_path_factory.mktemp("toxiproxy"))
    part.start()
    try:
        part.wait_until_it_answers()
        yield f"http://{parts.LOOPBACK}:{part.port.number}"
    finally:
        part.stop()


@pytest.fixture(scope="session")
def mcp_target() -> str:
    """The URL of the MCP endpoint under test; define a fixture of this name, or set MCP_URL."""
    url = os.environ.get("MCP_URL")
    if not url:
        pytest.fail("Which server? Define a fixture mcp_target that returns its URL, or set MCP_URL.", pytrace=False)
    return url


class FaultedLane:
    """A way to the server that can be broken, and one that never is.

    Args:
        run: whose they are.
    """

    def __init__(self, run: "Run") -> None:
        from mcp_chaos.records import Lane

        self._run = run
        self._in_place = ""
        self.url = run.environment.url(Lane.FAULTED)
        self.control_url = run.environment.url(Lane.CONTROL)
        self.host = run.environment.host_header

    @contextmanager
    def fault(self, name: str, **numbers: Any) -> Iterator[dict[str, Any]]:
        """Put a fault in place, and take it back at the end.

        Args:
            name: of a fault action, such as ``add_latency``.
            numbers: its arguments, such as ``latency_ms=200``.

        Yields:
            What was put in place, and how it was felt.

        Raises:
            UsageError: there is no such fault, or its arguments make no sense; nothing was changed.
            ToxiproxyError: it could not be put in place.
        """
        from mcp_chaos.actions import FAULTS
        from mcp_chaos.errors import UsageError
        from mcp_chaos.faults.fault import make_fault

        known = [fault for fault in FAULTS if fault != "flap"]  # which is over when it returns
        if name not in known:
            raise UsageError(f"There is no fault {name!r} here; there are {', '.join(known)}.")
        if self._in_place:
            raise UsageError(
                f"{self._in_place!r} is in place; one fault comes after the other, as they are healed together."
            )
        try:
            fault = make_fault(FAULTS[name], **numbers)
        except TypeError as error:
            raise UsageError(str(error)) from None
        self._in_place = name
        try:
            receipt = self._run.inject(fault)
            if not receipt.get("proof"):
                pytest.fail(
                    f"The fault was not felt, so this would prove nothing: {receipt.get('doubt')}", pytrace=False
                )
            yield receipt
        finally:
            self.heal()

    def heal(self) -> list[str]:
        """Take back whatever is in place; says what it was."""
        self._in_place = ""
        return self._run.heal()


@pytest.fixture
def faulted_lane(mcp_target: str, toxiproxy: str, tmp_path: Path) -> Iterator[FaultedLane]:
    """Ways to ``mcp_target`` through Toxiproxy: ``url`` can be broken, ``control_url`` never is."""
    from mcp_chaos.run import Run
    from mcp_chaos.settings import resolve

    settings = resolve(
        {"mcp_url": mcp_target, "toxiproxy_url": toxiproxy, "mcp_chaos_runs": str(tmp_path / "mcp_chaos_runs")}
    )
    run = Run(settings, "pytest", {}, print)
    run.start()
    try:
        yield FaultedLane(run)
    finally:
        run.close()
