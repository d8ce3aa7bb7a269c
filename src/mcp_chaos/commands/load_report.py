"""What came of a load by itself, made from the files of its run."""

from dataclasses import asdict, dataclass
from typing import Any

from mcp_chaos.errors import HistoryError
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.history.history import History
from mcp_chaos.load.health import generator
from mcp_chaos.load.results import Tally, has_summary, summary
from mcp_chaos.verdict.doubts import lost_calls, troubles
from mcp_chaos.verdict.judge import INCONCLUSIVE, Verdict
from mcp_chaos.verdict.measure import Measured, end_of, measure
from mcp_chaos.verdict.spans import load_spans

KIND = "load"
COMPLETE = "complete"


@dataclass(frozen=True)
class Report:
    """What came of a load.

    Args:
        folder: of the run.
        results: by load, in the order they ran.
        measured: for windows and faults.
        doubts: why the result says little; empty when all is well.
        interrupted: whether a person or a signal ended it.
    """

    folder: RunFolder
    results: dict[str, dict[str, Any]]
    measured: Measured
    doubts: list[str]
    interrupted: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON."""
        manifest = self.folder.manifest()
        return {
            **{key: manifest.get(key) for key in ("run_id", "target", "dialect", "seed", "shape")},
            "conclusive": not self.doubts,
            "doubts": self.doubts,
            "interrupted": self.interrupted,
            "loads": self.results,
            "faults": [asdict(fault) for fault in self.measured.faults],
            "windows": {
                window: {lane: figures.as_dict() for lane, figures in lanes.items() if figures.calls}
                for window, lanes in self.measured.figures.items()
                if self.measured.faults
            },
        }

    def answer(self) -> Verdict:
        """What a page says of it: no threshold judges a load, so it is complete, or says little."""
        summaries = [result["summary"] for result in self.results.values()]
        calls, ok = sum(s["calls"] for s in summaries), sum(s["outcomes"]["ok"] for s in summaries)
        said = f"{calls:,} calls were made, {ok:,} of them were answered well"
        return Verdict(INCONCLUSIVE if self.doubts else COMPLETE, [*self.doubts, said], self.measured, [])

    @classmethod
    def read(cls, folder: RunFolder) -> "Report":
        """The report of a run, made from its files.

        Raises:
            HistoryError: the files are not those of a run.
        """
        history = History.read(folder)
        whole = history.expected_calls
        results = {name: _result(folder, name) if name in whole else _counted(history, name) for name in history.calls}
        doubts = [*troubles(history.events), *lost_calls(history)]
        doubts += [
            f"the result of the load '{name}' is missing; its calls were counted instead"
            for name in results
            if name not in whole
        ]
        measured = measure(history)
        doubts += [
            f"the fault '{fault.name}' was not felt: {fault.doubt or 'no proof was made'}"
            for fault in measured.faults
            if fault.proof is None
        ]
        if not any(result["summary"]["calls"] for result in results.values()):
            doubts.append("no call was made")
        interrupted = any(event.kind == "interrupted" for event in history.events)
        return cls(folder, results, measured, doubts, interrupted)


def _result(folder: RunFolder, name: str) -> dict[str, Any]:
    result: dict[str, Any] = folder.read(f"result-{name}.json")
    if not has_summary(result):
        raise HistoryError(f"{folder.path / f'result-{name}.json'} is not the result of a load. It was left as it is.")
    return result


def _counted(history: History, name: str) -> dict[str, Any]:
    """What the calls of a load tell that was killed before it wrote its result."""
    span = load_spans(history.events, end_of(history)).get(name)
    unmeasured = {**generator([]), "kept_up": None}
    return {"summary": summary(Tally([history.calls[name]]), span.seconds if span else 0.0, unmeasured)}
