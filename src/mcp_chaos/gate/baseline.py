"""Earlier runs, kept in a file, to compare others with: what is a regression is judged in ``regression``."""

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from mcp_chaos.errors import UsageError
from mcp_chaos.gate.regression import FEWEST_RUNS, LATE, WORK, compared
from mcp_chaos.gate.result import Attempt, Comparison
from mcp_chaos.history.calls import CALL, Lane
from mcp_chaos.history.files import to_json, write_atomically
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.history.history import History
from mcp_chaos.history.regular_file import read_regular
from mcp_chaos.machine.pulse import OBSERVATION
from mcp_chaos.verdict.figures import FIGURES
from mcp_chaos.verdict.measure import figures, measure, touched_by

SCHEMA = 1
_MOST_RUNS = 30
_MAX_BYTES = 64 * 1024 * 1024


def figures_of(folder: RunFolder) -> dict[str, float]:
    """The figures of a run by their names, ``compared_figures`` among them; what it does not show is left out."""
    history = History.read(folder)
    measured = measure(history)
    parts = [history.calls[name] for name in measured.loads if name in history.calls]
    calls = np.concatenate(parts) if parts else np.empty(0, dtype=CALL)
    clean = calls[~touched_by(calls, measured.windows["fault"])]
    lanes = {lane: figures(clean[clean["lane"] == lane], 0.0) for lane in Lane}
    found: dict[str, float | None] = {"calls": lanes[Lane.FAULTED].calls, "control_calls": lanes[Lane.CONTROL].calls}
    for name, figure in FIGURES.items():
        if figure.regression is not None:
            found |= {name: lanes[Lane.FAULTED][name], f"control_{name}": lanes[Lane.CONTROL][name]}
    found["recovery_s"] = math.inf if measured.never_steady else measured.figures["recovery"]["faulted"].recovery_s
    found |= {"capacity_users": _capacity(folder), **_machine(folder)}
    return {name: float(value) for name, value in found.items() if value is not None}


def _machine(folder: RunFolder) -> dict[str, float | None]:
    readings = [o["reading"] for o in folder.observations_file.read() if o.get("probe") == OBSERVATION]
    if not readings:
        return {}
    return {WORK: readings[-1]["work_p50_ms"], LATE: readings[-1]["late_p95_ms"]}


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
    loads = {}
    for path in sorted(folder.path.glob("load-*.json")):
        load = folder.read(path.name)
        if not load.get("judged"):
            continue  # a probe's own burst: how many there are is a matter of time
        # Users that a ramp found are a figure of the run, which is compared.
        shape = {k: v for k, v in load.get("shape", {}).items() if k != "users" or not load.get("users_from")}
        kept = {key: load.get(key) for key in ("lane", "deadline_s", "workload", "users_from")}
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
            content = orjson.loads(read_regular(path, _MAX_BYTES))
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

    def judge(self, title: str, attempt: Attempt) -> Comparison:
        """How a run compares; an experiment that the baseline does not know is let be."""
        if attempt.run is None or not self.experiments.get(title):
            return Comparison()
        folder = RunFolder(attempt.run)
        setting, entries = setting_of(folder), self.experiments[title]
        entry = next((entry for entry in entries if entry["setting"] == setting), None)
        if entry is None:
            different = _different(entries[-1]["setting"], setting)
            doubt = f"it cannot be compared with the baseline: {different} of its runs are others"
            return Comparison((), [f"{doubt}; --save-baseline adds this one"], is_new=True)
        if len(entry["runs"]) < FEWEST_RUNS:
            doubt = f"of the {FEWEST_RUNS} runs of this setting that are needed, the baseline has {len(entry['runs'])}"
            return Comparison((), [f"{doubt}; --save-baseline adds this one"], is_new=True)
        now = figures_of(folder)
        earlier = _comparable(entry, now)
        found, like_it = compared(earlier, now), sum("p50_ms" in run for run in earlier)
        if found.regressions or like_it >= FEWEST_RUNS or not {"p50_ms", "capacity_users"} <= now.keys():
            return found
        doubt = f"its ramp held {now['capacity_users']:g} users, as {like_it} of the earlier runs did"
        said = f"{doubt}, and {FEWEST_RUNS} are needed to compare how long calls took"
        return Comparison((), [said, *found.doubts], is_new=True)


def _comparable(entry: Mapping[str, Any], now: Mapping[str, float]) -> list[dict[str, float]]:
    """The earlier runs, without the times of those whose load was another as their ramp held more or fewer users."""
    if not any(load.get("users_from") for load in entry["setting"]["loads"].values()):
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
