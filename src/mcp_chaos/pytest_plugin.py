"""A pytest plugin: break the network of an MCP server inside its own test suite.

Fixtures: ``toxiproxy`` (the URL of a Toxiproxy that runs while the tests do), ``mcp_target`` (the URL of the server; a
suite defines its own, or gives ``MCP_URL``), ``faulted_lane`` (a way to the server that can be broken, and one that is
never). Experiments are collected as tests where the ini option ``mcp_chaos_experiments`` says so. See docs/pytest.md.

Everything else is imported when it is needed: pytest loads this module in every run of everybody who has it installed.
"""

import fnmatch
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mcp_chaos.run.run import Run

_EXPERIMENTS = "mcp_chaos_experiments"
_PROFILE = "mcp_chaos_profile"
_WHICH = "Which server? Define a fixture mcp_target that returns its URL, or set MCP_URL."
_WILD = frozenset("*?[")
_SUFFIXES = (".yaml", ".yml", ".json")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The ini options."""
    parser.addini(_EXPERIMENTS, "files collected as experiments, as patterns of paths from the root", "args", [])
    parser.addini(_PROFILE, "a profile with numbers for them, a path from the root", "string", "")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse names of files that are not there, whose experiments would be missed by nobody."""
    missing = [n for n in config.getini(_EXPERIMENTS) if not _WILD & set(n) and not (config.rootpath / n).is_file()]
    if missing:
        raise pytest.UsageError(f"{_EXPERIMENTS}: there is no {', '.join(missing)} in {config.rootpath}")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "ExperimentFile | None":
    """Take the files that were named as experiments, and those that a pattern finds and that are some."""
    root, names = parent.config.rootpath, parent.config.getini(_EXPERIMENTS)
    named = any(file_path == root / name for name in names)
    if named or (_is_found(file_path, root, names) and _is_experiment(file_path)):
        return ExperimentFile.from_parent(parent, path=file_path)
    return None


def _is_found(path: Path, root: Path, patterns: Iterable[str]) -> bool:
    if path.suffix not in _SUFFIXES or not path.is_relative_to(root):
        return False
    return any(fnmatch.fnmatch(str(path.relative_to(root)), each) for each in patterns)


def _is_experiment(path: Path) -> bool:
    from mcp_chaos.gate.plan_file import is_experiment

    return is_experiment(path)


class ExperimentFile(pytest.Module):
    """A file with an experiment. To pytest it is a module, so that fixtures of every scope can be had."""

    obj = None

    def collect(self) -> Iterable[pytest.Item]:
        """Its one test.

        Raises:
            CollectError: it is a plan, or something else.
        """
        if not _is_experiment(self.path):
            raise self.CollectError(
                f"{self.path} is no experiment. Instead of a plan, name its experiments; mcp-chaos gate runs plans."
            )
        yield ExperimentItem.from_parent(self, name="experiment", callobj=_run)


class DidNotPassError(Exception):
    """An experiment did not pass; the message says why, and where its run is kept."""


def _run(request: pytest.FixtureRequest) -> None:
    """Run the experiment of a file.

    Raises:
        DidNotPassError: it failed, or proves nothing.
    """
    from mcp_chaos.errors import EXIT_PASS, McpChaosError, UsageError
    from mcp_chaos.gate.plan_file import make_plan
    from mcp_chaos.gate.result import ABORTED, Comparison
    from mcp_chaos.gate.runner import run_plan
    from mcp_chaos.toolkit.given import Given, Profile

    path, profile = request.path, request.config.getini(_PROFILE)
    try:
        given = Given([Profile.read(request.config.rootpath / profile)] if profile else [])
        # its folder is where its workload is, and where it is run by hand
        with _aimed_at(_target_of(request)) as aim, chdir(path.parent):
            plan = make_plan([path], {**given.values, **aim})
            plan.check()
            if unused := given.problems(plan.declared()):
                raise UsageError(unused)
            if plan.items[0].settings().embedded:  # which is not what a suite is there to test
                raise DidNotPassError(f"{_WHICH} Or the experiment's configuration says mcp_url, or mcp_command.")
            result = run_plan(plan, print, lambda title, attempt: Comparison())
    except McpChaosError as error:
        raise DidNotPassError(str(error)) from None
    (experiment,) = result.experiments
    if experiment.outcome == ABORTED:
        raise KeyboardInterrupt  # it was for pytest as well
    if result.exit_code != EXIT_PASS:
        kept = f"The run is kept in {experiment.run}" if experiment.run else "No run was made"
        raise DidNotPassError("\n".join([f"{experiment.title}: {experiment.outcome}", *experiment.reasons, kept]))


def _target_of(request: pytest.FixtureRequest) -> str:
    """The server that the suite's own fixture names; empty where there is none."""
    try:
        url = str(request.getfixturevalue("mcp_target"))
    except pytest.fail.Exception as failure:
        if str(failure) != _WHICH:
            raise
        return ""
    return "" if url == os.environ.get("MCP_URL") else url


@contextmanager
def _aimed_at(url: str) -> Iterator[dict[str, str]]:
    """The server of an experiment, whichever way it says that itself; nothing is changed where none is given."""
    if not url:
        yield {}
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MCP_URL", url)
        patch.delenv("MCP_COMMAND", raising=False)
        yield {"mcp_url": url, "mcp_command": ""}


class ExperimentItem(pytest.Function):
    """An experiment as a test: it passes when its verdict is *pass*."""

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The message alone: a traceback of ours tells nobody anything."""
        from mcp_chaos.machine.printable import printable_lines

        if isinstance(excinfo.value, DidNotPassError):
            return printable_lines(str(excinfo.value))
        return super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it is, and what it is called."""
        return self.path, None, f"experiment: {self.path.name}"


@pytest.fixture(scope="session")
def toxiproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the API of a Toxiproxy: that of TOXIPROXY_URL, or one that runs while the tests do."""
    from mcp_chaos.faults import toxiproxy_install
    from mcp_chaos.faults.toxiproxy_part import toxiproxy_part
    from mcp_chaos.faults.watchdog import Watchdog
    from mcp_chaos.history.folder import RunFolder
    from mcp_chaos.machine.clock import Clock
    from mcp_chaos.machine.parts import LOOPBACK

    if os.environ.get("TOXIPROXY_URL"):
        yield os.environ["TOXIPROXY_URL"]
        return
    with ExitStack() as stack:
        with _told_plainly():
            folder = RunFolder.create(tmp_path_factory.mktemp("toxiproxy"), "pytest")
            part = toxiproxy_part(toxiproxy_install.ensure(print), folder.path)
            stack.callback(Watchdog(folder, Clock.start()).dismiss)  # which ends it when pytest is killed
            stack.callback(part.stop)
            part.start()
            part.wait_until_it_answers()
        yield f"http://{LOOPBACK}:{part.port.number}"


@contextmanager
def _told_plainly() -> Iterator[None]:
    """What keeps a fixture from it is told as it is: a traceback of ours tells nobody anything."""
    from mcp_chaos.errors import McpChaosError
    from mcp_chaos.machine.printable import printable_lines

    try:
        yield
    except McpChaosError as error:
        pytest.fail(printable_lines(str(error)), pytrace=False)


@pytest.fixture(scope="session")
def mcp_target() -> str:
    """The URL of the MCP endpoint under test; define a fixture of this name, or set MCP_URL."""
    url = os.environ.get("MCP_URL")
    if not url:
        pytest.fail(_WHICH, pytrace=False)
    return url


class FaultedLane:
    """A way to the server that can be broken, and one that never is.

    Args:
        run: whose they are.
    """

    def __init__(self, run: "Run") -> None:
        from mcp_chaos.history.calls import Lane

        self._run = run
        self._in_place = ""
        self.url = run.environment.addresses.url(Lane.FAULTED)
        self.control_url = run.environment.addresses.url(Lane.CONTROL)
        self.host = run.environment.addresses.host_header

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
        from mcp_chaos.errors import UsageError
        from mcp_chaos.faults.fault import make_fault
        from mcp_chaos.faults.kinds import FAULTS

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
    from mcp_chaos.config.settings import resolve
    from mcp_chaos.run.run import Run

    runs = str(tmp_path / "mcp_chaos_runs")
    with _told_plainly():
        settings = resolve({"mcp_url": mcp_target, "toxiproxy_url": toxiproxy, "mcp_chaos_runs": runs})
        run = Run(settings, "pytest", {}, print, loaded=False)
        run.start()
    try:
        yield FaultedLane(run)
    finally:
        run.close()
        with _told_plainly():
            run.folder.check_written()
