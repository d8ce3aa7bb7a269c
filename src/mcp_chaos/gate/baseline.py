"""Whether a run is worse than earlier ones of the same experiment, by more than they differ among themselves.

The method: a one-sided prediction interval. With the mean ``m`` and the standard deviation ``s`` of a figure in ``n``
earlier runs, one further run of an unchanged server is expected to be worse than ``m + t * s * sqrt(1 + 1/n)`` with a
probability of ``ALARM_FRACTION``, which all figures of the experiment share (Bonferroni); ``t`` is the quantile of
Student's distribution with ``n - 1`` degrees of freedom. Source: Hahn and Meeker, Statistical Intervals (1991), section
4.8. Times are compared as logarithms, as they are skewed and worse by a factor. A figure has to be worse by a least
effect too, and its deviation counts as no smaller than what the machine leaves: five runs can be alike by chance.

What of its false alarms and misses was measured is in docs/gate.md.
"""

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from scipy.special import stdtrit

from mcp_chaos.errors import UsageError
from mcp_chaos.gate.result import Attempt
from mcp_chaos.history import History, RunFolder, to_json, write_atomically
from mcp_chaos.metrics import figures, measure, touched_by
from mcp_chaos.pulse import OBSERVATION
from mcp_chaos.records import CALL, Lane

SCHEMA = 1
ALARM_FRACTION = 0.01
FEWEST_RUNS = 5
_MOST_RUNS = 30
_NS_PER_S = 1e9


@dataclass(frozen=True)
class Figure:
    """A figure that is compared.

    Args:
        unit: for people.
        is_time: whether it is compared as a logarithm, and more is worse; else less is worse.
        least_effect: by how much it has to be worse: as a fraction for times, else in its own unit.
        least_deviation: what its standard deviation counts as at the least: of the logarithm for times.
        added: to a time before its logarithm, so that next to nothing does not weigh as much as anything.
    """

    unit: str
    is_time: bool
    least_effect: float
    least_deviation: float
    added: float = 0.0

    def scaled(self, value: float) -> float:
        """On the scale of the comparison, on which more is worse."""
        return math.log(max(value + self.added, 1e-9)) if self.is_time else -value

    def original(self, scaled: float) -> float:
        """Back from that scale."""
        return math.exp(scaled) - self.added if self.is_time else -scaled

    def effect(self, value: float, mean: float) -> float:
        """By how much a value is worse than a mean, as ``least_effect`` counts it."""
        return value / mean - 1 if self.is_time and mean > 0 else value - mean if self.is_time else mean - value


FIGURES = {
    "success_fraction": Figure("", False, 0.02, 0.005),
    "control_success_fraction": Figure("", False, 0.02, 0.005),
    "p50_ms": Figure("ms", True, 0.05, 0.015),
    "p95_ms": Figure("ms", True, 0.10, 0.03),
    "control_p50_ms": Figure("ms", True, 0.05, 0.015),
    "control_p95_ms": Figure("ms", True, 0.10, 0.03),
    "recovery_s": Figure("s", True, 0.5, 0.1, added=0.25),
    "capacity_users": Figure("users", False, 0.5, 0.25),
}
"""What is compared: of calls outside of faults, on both lanes; the slowest recovery; what a ramp could hold."""

_WORK, _LATE = "machine_work_ms", "machine_late_ms"


def figures_of(folder: RunFolder) -> dict[str, float]:
    """The figures of a run, by their names in ``FIGURES``; those that it does not show are left out."""
    history = History.read(folder)
    measured = measure(history)
    parts = [history.calls[name] for name in measured.loads if name in history.calls]
    calls = np.concatenate(parts) if parts else np.empty(0, dtype=CALL)
    clean = calls[~touched_by(calls, measured.windows["fault"])]
    lanes = {lane: figures(clean[clean["lane"] == lane], 0.0) for lane in Lane}
    found = {
        "success_fraction": lanes[Lane.FAULTED].success_fraction,
        "p50_ms": lanes[Lane.FAULTED].p50_ms,
        "p95_ms": lanes[Lane.FAULTED].p95_ms,
        "control_success_fraction": lanes[Lane.CONTROL].success_fraction,
        "control_p50_ms": lanes[Lane.CONTROL].p50_ms,
        "control_p95_ms": lanes[Lane.CONTROL].p95_ms,
        "recovery_s": math.inf if measured.never_steady else measured.figures["recovery"]["faulted"].recovery_s,
        "capacity_users": _capacity(folder),
    }
    found |= _machine(folder)
    return {name: float(value) for name, value in found.items() if value is not None}


def _machine(folder: RunFolder) -> dict[str, float | None]:
    readings = [o["reading"] for o in folder.observations_file.read() if o.get("probe") == OBSERVATION]
    if not readings:
        return {}
    return {_WORK: readings[-1]["work_p50_ms"], _LATE: readings[-1]["late_p95_ms"]}


def _capacity(folder: RunFolder) -> float | None:
    """What the ramp on the faulted lane could hold; there is one, as experiments go."""
    found = None
    for path in sorted(folder.path.glob("result-*.json")):
        result = folder.read(path.name)
        load = folder.read(path.name.replace("result-", "load-", 1))
        if "capacity_users" in result and load.get("lane") == Lane.FAULTED:
            found = float(result["capacity_users"])
    return found


def setting_of(folder: RunFolder) -> dict[str, Any]:
    """What has to be the same for runs to be compared: server, numbers, faults, loads and machine."""
    manifest = folder.manifest()
    capacity = _capacity(folder)
    loads = {}
    for path in sorted(folder.path.glob("load-*.json")):
        load = folder.read(path.name)
        if not load.get("judged"):
            continue  # a probe's own burst: how many there are is a matter of time
        # Users that a ramp found are a figure of the run, which is compared.
        shape = {k: v for k, v in load.get("shape", {}).items() if k != "users" or v != capacity}
        kept = {key: load.get(key) for key in ("lane", "deadline_s", "workload")}
        loads[str(load.get("name"))] = {"shape": shape, **kept}
    faults = [f"{e.data['name']} on {e.data['proxy']}" for e in folder.events() if e.kind == "fault_injecting"]
    return {
        "target": manifest.get("target"),
        "dialect": manifest.get("dialect"),
        "numbers": manifest.get("numbers"),
        "faults": faults,
        "loads": loads,
        "machine": {"cpus": os.cpu_count(), "architecture": platform.machine(), "processor": _processor()},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


@dataclass
class Baseline:
    """Earlier runs.

    Args:
        experiments: by their titles, entries of a ``setting`` and of the ``runs`` made in it, figures by name.
    """

    experiments: dict[str, list[dict[str, Any]]]

    @classmethod
    def read(cls, path: Path) -> "Baseline":
        """From a file.

        Raises:
            UsageError: it cannot be read, or is none.
        """
        try:
            content = orjson.loads(path.read_bytes())
        except OSError as error:
            raise UsageError(
                f"The baseline {path} cannot be read ({error.strerror}); --save-baseline makes one"
            ) from None
        except ValueError as error:
            raise UsageError(f"{path} is no baseline ({error})") from None
        if not _is_baseline(content):
            raise UsageError(f"{path} is no baseline of this version of mcp_chaos; make it anew with --save-baseline")
        return cls(content["experiments"])

    def write(self, path: Path) -> None:
        """To a file."""
        write_atomically(path.resolve(), to_json({"schema": SCHEMA, "experiments": self.experiments}))

    def add(self, title: str, folder: RunFolder) -> None:
        """Take a run in, with those of the same setting; of those, the oldest make way for it when there are many."""
        setting, entries = setting_of(folder), self.experiments.setdefault(title, [])
        entry = next((entry for entry in entries if entry["setting"] == setting), None)
        if entry is None:
            entry = {"setting": setting, "runs": []}
            entries.append(entry)
        figures = {name: value for name, value in figures_of(folder).items() if math.isfinite(value)}
        entry["runs"] = [*entry["runs"], figures][-_MOST_RUNS:]

    def problems(self, titles: Sequence[str]) -> list[str]:
        """Why runs of these experiments cannot be compared: none of them is known, or one has too few runs."""
        counts = {
            title: max((len(entry["runs"]) for entry in self.experiments[title]), default=0)
            for title in titles
            if title in self.experiments
        }
        if not counts:
            return [f"the baseline has no run of {', '.join(titles)}; --save-baseline adds some"]
        return [
            f"the baseline has {count} runs of '{title}', and {FEWEST_RUNS} are needed; --save-baseline adds more"
            for title, count in counts.items()
            if count < FEWEST_RUNS
        ]

    def judge(self, title: str, attempt: Attempt) -> tuple[list[str], list[str]]:
        """Regressions of a run in words, and why nothing can be said; an experiment it does not know is let be."""
        if attempt.run is None or not self.experiments.get(title):
            return [], []
        folder = RunFolder(attempt.run)
        setting, entries = setting_of(folder), self.experiments[title]
        entry = next((entry for entry in entries if entry["setting"] == setting), None)
        if entry is None:
            different = _different(entries[-1]["setting"], setting)
            return [], [f"the baseline cannot be compared with: {different} differ from those of its runs"]
        if len(entry["runs"]) < FEWEST_RUNS:
            return [], [f"the baseline has {len(entry['runs'])} runs of this setting, and {FEWEST_RUNS} are needed"]
        return compared(_comparable(entry, figures_of(folder)), figures_of(folder))


def _comparable(entry: Mapping[str, Any], now: Mapping[str, float]) -> list[dict[str, float]]:
    """The earlier runs, without the times of those whose load was another as their ramp held more or fewer users."""
    loads = entry["setting"]["loads"].values()
    if not any(load["shape"].get("kind") == "sustained" and "users" not in load["shape"] for load in loads):
        return list(entry["runs"])
    return [
        run
        if run.get("capacity_users") == now.get("capacity_users")
        else {name: value for name, value in run.items() if not name.endswith("_ms")}
        for run in entry["runs"]
    ]


def _is_baseline(content: Any) -> bool:
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        return False
    experiments = content.get("experiments")
    return isinstance(experiments, dict) and all(
        isinstance(entries, list) and all(_is_entry(entry) for entry in entries) for entries in experiments.values()
    )


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("setting"), dict)
        and isinstance(entry.get("runs"), list)
        and all(isinstance(run, dict) and all(_is_number(value) for value in run.values()) for run in entry["runs"])
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _different(known: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    return " and ".join(f"the {key}" for key in now if known.get(key) != now[key])


def compared(earlier: Sequence[Mapping[str, float]], now: Mapping[str, float]) -> tuple[list[str], list[str]]:
    """Regressions of a run; or doubts, where all of them may be the machine's."""
    found = regressions(earlier, now)
    slower, later_ms = _machine_was(earlier, now)
    corrected = {
        name: max(value / slower - later_ms, 0.0) if name.endswith("_ms") else value for name, value in now.items()
    }
    if not found or regressions(earlier, corrected):
        return found, []
    doubt = (
        f"the machine itself was slower than before ({slower - 1:.0%}, and {later_ms:.1f} ms later), which may be why:"
    )
    return [], [doubt, *found]


def _machine_was(earlier: Sequence[Mapping[str, float]], now: Mapping[str, float]) -> tuple[float, float]:
    """How many times slower the machine was than in earlier runs, and how much later it woke, in milliseconds."""
    work, late = ([run[name] for run in earlier if name in run] for name in (_WORK, _LATE))
    slower = now[_WORK] / float(np.mean(work)) if work and _WORK in now else 1.0
    later_ms = now[_LATE] - float(np.mean(late)) if late and _LATE in now else 0.0
    return max(1.0, slower), max(0.0, later_ms)


def regressions(earlier: Sequence[Mapping[str, float]], now: Mapping[str, float]) -> list[str]:
    """What of a run is worse than was to be expected after the earlier ones, in words.

    Args:
        earlier: the figures of each earlier run.
        now: those of this one.
    """
    names = [name for name in FIGURES if name in now and sum(name in run for run in earlier) >= FEWEST_RUNS]
    found = []
    for name in names:
        figure, values = FIGURES[name], [run[name] for run in earlier if name in run]
        limit = _limit(figure, values, ALARM_FRACTION / len(names))
        mean = figure.original(float(np.mean([figure.scaled(value) for value in values])))
        if figure.scaled(now[name]) > limit and figure.effect(now[name], mean) >= figure.least_effect:
            found.append(_sentence(name, now[name], mean, figure.original(limit), len(values)))
    return found


def _limit(figure: Figure, values: Sequence[float], alarm_fraction: float) -> float:
    """The end of the prediction interval, on the figure's scale."""
    scaled = [figure.scaled(value) for value in values]
    deviation = max(float(np.std(scaled, ddof=1)), figure.least_deviation)
    quantile = float(stdtrit(len(values) - 1, 1 - alarm_fraction))
    return float(np.mean(scaled)) + quantile * deviation * math.sqrt(1 + 1 / len(values))


def _sentence(name: str, now: float, mean: float, limit: float, runs: int) -> str:
    unit = f" {FIGURES[name].unit}" if FIGURES[name].unit else ""
    direction = "up to" if FIGURES[name].is_time else "down to"
    return (
        f"regression: {name} is {now:.4g}{unit}, in {runs} earlier runs it was {mean:.4g}{unit}, "
        f"and {direction} {limit:.4g}{unit} was to be expected"
    )
