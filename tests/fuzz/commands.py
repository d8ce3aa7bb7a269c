"""Commands run in this process, in which nothing can be started, connected to or ended meanwhile."""

import contextlib
import io
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pytest

from mcp_chaos import cli
from mcp_chaos.errors import EXIT_INTERNAL, EXIT_USAGE
from mcp_chaos.machine.printable import printable_lines

_FORBIDDEN = frozenset(
    {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system", "os.kill", "os.killpg"}
    | {"socket.connect", "socket.sendto", "socket.getaddrinfo"}
)
_LONGEST_SENTENCES = 20_000

COUNTED: Counter[tuple[str, str]] = Counter()
"""How many inputs of each kind ended in which way, for the figures at the end."""


class StartedError(BaseException):
    """The command was about to start, reach or end something, so the input was taken."""


class _Guard:
    """An audit hook: it cannot be removed, so it is switched."""

    is_on = False
    saw: str | None = None

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.is_on or event not in _FORBIDDEN or (event == "os.kill" and arguments[1] == 0):
            return
        if event == "socket.getaddrinfo" and arguments[0] in ("127.0.0.1", "::1", None):
            return
        self.saw = event
        raise StartedError(event)


_GUARD = _Guard()
sys.addaudithook(_GUARD)


@dataclass(frozen=True)
class Outcome:
    """What became of a command.

    Args:
        code: its exit code; ``None`` where it was about to start something.
        said: on both streams.
        started: what it was about to start, if anything.
    """

    code: int | None
    said: str
    started: str | None


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    _GUARD.is_on, _GUARD.saw = True, None
    try:
        yield
    finally:
        _GUARD.is_on = False


def outcome_of(argv: Sequence[str], environment: Mapping[str, str]) -> Outcome:
    """Run ``mcp-chaos`` with arguments, and settings in its environment."""
    said = io.StringIO()
    code: int | None = None
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        for name in [name for name in os.environ if name.startswith(("MCP_", "TOXIPROXY"))]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", ["mcp-chaos", *argv])
        try:
            with _guarded():
                cli.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        except StartedError:
            pass
        else:
            code = 0
    return Outcome(code, said.getvalue(), _GUARD.saw)


def check(
    kind: str,
    argv: Sequence[str],
    codes: Sequence[int],
    *,
    refused: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Run a command and check that it ended as it has to.

    Args:
        kind: of the input, for the figures.
        argv: of the command.
        codes: that it may end with, besides being about to start something.
        refused: whether the input has to be refused.
        environment: its settings.
    """
    outcome = outcome_of(argv, environment or {})
    way = "taken" if outcome.code is None else f"exit {outcome.code}"
    COUNTED[kind, f"{way}, misspelt" if refused else way] += 1
    shown = f"{outcome.code}, {outcome.said!r:.2000}, {outcome.started} by {argv!r:.2000} {environment!r:.2000}"
    assert "Traceback (most recent call last)" not in outcome.said, shown
    assert outcome.code != EXIT_INTERNAL, shown
    assert outcome.code in (None, *codes), shown
    assert not refused or outcome.code == EXIT_USAGE, f"not refused: {shown}"
    if outcome.code == EXIT_USAGE:
        assert outcome.started is None, f"refused after something was started: {shown}"
        assert 0 < len(outcome.said) < _LONGEST_SENTENCES, shown[:2000]
        assert outcome.said == printable_lines(outcome.said), shown
    return outcome
