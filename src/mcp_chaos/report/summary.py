"""What every report of a run begins with: which run, on what, and the answer."""

from dataclasses import dataclass

from mcp_chaos.verdict.judge import Verdict


@dataclass(frozen=True)
class RunSummary:
    """A run in short.

    Args:
        title: of the experiment.
        start_s: when it began, in seconds since the epoch.
        target: the server.
        verdict: the answer.
    """

    title: str
    start_s: float
    target: str
    verdict: Verdict
