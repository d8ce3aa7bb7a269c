"""The errors of mcp_chaos, and the exit codes they end in.

    McpChaosError                      exit code
    ├── UsageError                     2   an argument, setting, experiment or profile is wrong
    ├── TargetError                    3   the MCP server is not there, or does not speak MCP
    ├── ToxiproxyError                 3   Toxiproxy is not there, hangs, or refused a request
    ├── InstallError                   3   a part that is needed could not be obtained
    ├── PartError                      3   an embedded part did not start or went away
    ├── LockedError                    3   another run works on the same target
    ├── StoppedError                   3   somebody stopped all runs of this machine
    └── HistoryError                   2   a run folder cannot be made or read
        └── UnwrittenError             3   a run's files could not be written; it was healed and ended all the same

Exit codes of ``mcp-chaos``:

    ====  ============  ====================================================
    code  verdict       meaning
    ====  ============  ====================================================
    0     pass          every threshold met, every fault proven
    1     fail          a threshold missed, with the evidence
    2     –             usage: nothing was touched
    3     inconclusive  the run proves nothing; the reasons say why
    4     –             aborted by a person or a signal; everything healed
    5     –             internal error: a bug of mcp_chaos, please report it
    ====  ============  ====================================================

``mcp-chaos gate`` exits with the gravest of its experiments: 5, 4, 1, 3, 0 in this order.
``chaos run`` knows only 0 and 1 (and 2 for its own usage): everything but *pass* exits 1.

Every message stands alone: what happened, what was left changed, what to do next. Only a message survives into
the journal of Chaos Toolkit, so it must not need its traceback.
"""

from collections.abc import Sequence

EXIT_PASS = 0
EXIT_FAIL = 1
EXIT_USAGE = 2
EXIT_INCONCLUSIVE = 3
EXIT_ABORTED = 4
EXIT_INTERNAL = 5


class McpChaosError(Exception):
    """Base of every error that mcp_chaos raises on purpose."""

    exit_code = EXIT_INTERNAL


class UsageError(McpChaosError):
    """Input that cannot be used. Holds *all* problems found, so that one round of fixing is enough.

    Args:
        problems: one sentence per problem.
        where: what was being checked; opens the message when given.
    """

    exit_code = EXIT_USAGE

    def __init__(self, problems: str | Sequence[str], where: str = "") -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        self.where = where
        super().__init__(self._text())

    def _text(self) -> str:
        if len(self.problems) == 1 and not self.where:
            return self.problems[0]
        heading = self.where or "Several things are wrong"
        return "\n".join([f"{heading}:", *(f"  - {problem}" for problem in self.problems)])


class TargetError(McpChaosError):
    """The MCP server under test cannot be reached or does not answer as one."""

    exit_code = EXIT_INCONCLUSIVE


class ToxiproxyError(McpChaosError):
    """Toxiproxy could not do what was asked. The message says what was left changed."""

    exit_code = EXIT_INCONCLUSIVE


class InstallError(McpChaosError):
    """A part that is needed could not be obtained. Nothing was started."""

    exit_code = EXIT_INCONCLUSIVE


class PartError(McpChaosError):
    """An embedded part (Toxiproxy, warehouse, server, load) did not start, or went away."""

    exit_code = EXIT_INCONCLUSIVE


class LockedError(McpChaosError):
    """Another run works on the same target. Nothing was started."""

    exit_code = EXIT_INCONCLUSIVE


class StoppedError(McpChaosError):
    """Somebody stopped all runs of this machine and has not allowed new ones yet. Nothing was started."""

    exit_code = EXIT_INCONCLUSIVE


class HistoryError(McpChaosError):
    """A run folder cannot be made or read."""

    exit_code = EXIT_USAGE


class UnwrittenError(HistoryError):
    """A run's files could not be written. What it had changed was taken back all the same."""

    exit_code = EXIT_INCONCLUSIVE
