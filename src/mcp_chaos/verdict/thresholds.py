"""Thresholds are data: one comparison each, per window, checked before anything is touched.

A threshold reads ``figure operator expression``, for example ``p95_ms <= 2 * baseline.p95_ms + 50``. A figure is a name
from ``figures.FIGURES``, of its own window and the faulted lane unless it says otherwise:
``control.success_fraction`` (the lane without faults), ``baseline.p95_ms``, ``baseline.control.p95_ms``. Figures of the
server (``server.SERVER_FIGURE_NAMES``) are named with it, as in ``server.fds <= before.server.fds + 8``, and are there
in the windows ``before`` and ``rest`` too.

A threshold with quantiles of latencies is missed when it is at 99 % confidence, with every quantile at that end of its
confidence interval that is the kindest to the service; between that and met it is inconclusive.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mcp_chaos.errors import UsageError
from mcp_chaos.history.calls import LANES
from mcp_chaos.machine.spelling import hint
from mcp_chaos.verdict.confidence import quantile_bounds
from mcp_chaos.verdict.judgement import Judgement, told_apart
from mcp_chaos.verdict.measure import FIGURES, WINDOWS, Figures
from mcp_chaos.verdict.server import SERVER, SERVER_FIGURE_NAMES, SERVER_WINDOWS, ServerFigures, why_not_applicable

_LONGEST = 300
_LARGEST = 1e15

_COMPARISONS: dict[type[ast.cmpop], tuple[str, Callable[[float, float], bool]]] = {
    ast.LtE: ("<=", operator.le),
    ast.Lt: ("<", operator.lt),
    ast.GtE: (">=", operator.ge),
    ast.Gt: (">", operator.gt),
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
}
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}

AllFigures = Mapping[str, Mapping[str, Figures | ServerFigures]]
"""Figures by window, then lane; those of the server stand under ``SERVER``."""

AllLatencies = Mapping[str, Mapping[str, NDArray[np.float64]]]
"""The sorted latencies of successful calls, in milliseconds, by window, then lane."""

Interval = tuple[float, float]


class NoDataError(Exception):
    """A figure that a threshold needs was not measured; carries its name. Caught here, never seen outside."""


@dataclass(frozen=True)
class Threshold:
    """One parsed threshold.

    Args:
        window: the window it is about.
        text: as written.
        comparison: its syntax tree, already checked.
        assumed: whether it was written as an assumption.
    """

    window: str
    text: str
    comparison: ast.Compare
    assumed: bool = False

    @classmethod
    def parse(cls, window: str, text: Any, *, assumed: bool = False) -> "Threshold":
        """Parse and check a threshold.

        Raises:
            UsageError: with every problem of this threshold.
        """
        if not isinstance(text, str) or len(text) > _LONGEST:
            raise UsageError(
                f"{window}: a threshold is a text of at most {_LONGEST} characters such as 'success_fraction >= 0.99', "
                f"not {str(text)[:80]!r}"
            )
        try:
            tree = ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise UsageError(f"{window}: '{text}' is not a comparison such as 'p95_ms <= 250'") from None
        if not isinstance(tree, ast.Compare) or len(tree.ops) != 1 or type(tree.ops[0]) not in _COMPARISONS:
            raise UsageError(f"{window}: '{text}' is not one comparison with <=, <, >=, >, == or !=")
        try:
            problems = [*_problems(tree.left, window), *_problems(tree.comparators[0], window)]
        except RecursionError:
            problems = ["there are more brackets or signs than can be followed"]
        if not problems and not any(isinstance(node, ast.Name) for node in ast.walk(tree)):
            problems = ["it names no figure, so it says nothing about the run"]
        if problems:
            raise UsageError([f"{window}: in '{text}', {problem}" for problem in problems])
        return cls(window, text.strip(), tree, assumed)

    @property
    def is_assumption(self) -> bool:
        """Whether it is about what the fault did, not about the server."""
        return self.assumed or any(FIGURES[name].is_of_fault for _, _, name in self.places())

    def names(self) -> list[tuple[str, str]]:
        """The windows and lanes whose figures it names, without those of the server."""
        return [(window, lane) for window, lane, _ in self.places()]

    def server_names(self) -> list[tuple[str, str]]:
        """The windows and names of the server's figures in it."""
        return [(window, name) for window, lane, name in self._all_places(None) if lane == SERVER]

    def subject(self) -> tuple[str, str, str] | None:
        """Window, lane and name of the first figure on its left side."""
        return next(iter(self.places(self.comparison.left)), None)

    def places(self, part: ast.expr | None = None) -> list[tuple[str, str, str]]:
        """Window, lane and name of each figure in a part of it, or in all of it."""
        return [place for place in self._all_places(part) if place[1] != SERVER and place[2] in FIGURES]

    def _all_places(self, part: ast.expr | None) -> list[tuple[str, str, str]]:
        nodes = [n for n in ast.walk(part or self.comparison) if isinstance(n, ast.Name | ast.Attribute)]
        return [_place(ast.unparse(node), self.window) for node in nodes]

    def upper_limit(self) -> tuple[str, float] | None:
        """The figure that it bounds from above and by how much, where that is a number known without any run."""
        left, right = self.comparison.left, self.comparison.comparators[0]
        named = any(isinstance(node, ast.Name | ast.Attribute) for node in ast.walk(right))
        if named or not isinstance(left, ast.Name | ast.Attribute):
            return None
        if not isinstance(self.comparison.ops[0], ast.LtE | ast.Lt):
            return None
        try:
            return _place(ast.unparse(left), self.window)[2], _value(right, self.window, {})
        except NoDataError:  # a division by 0
            return None

    def judge(
        self, figures: AllFigures, latencies: AllLatencies | None = None, deadline_ms: float | None = None
    ) -> Judgement:
        """Compare it with what was measured.

        Args:
            figures: what was measured.
            latencies: what its quantiles are of; without them, they are taken as they are.
            deadline_ms: of the calls; no latency is above it. ``None`` where it is not known.
        """
        idle = why_not_applicable(self.server_names(), figures)
        if idle:
            return Judgement(
                self.window, self.text, "not_applicable", None, None, why=idle, assumption=self.is_assumption
            )
        try:
            left = _value(self.comparison.left, self.window, figures)
            right = _value(self.comparison.comparators[0], self.window, figures)
        except NoDataError as error:
            return Judgement(self.window, self.text, "no_data", None, None, str(error), assumption=self.is_assumption)
        met = _COMPARISONS[type(self.comparison.ops[0])][1](left, right)
        outcome, why = "met" if met else "missed", None
        if met and deadline_ms is not None and self._is_met_at(deadline_ms, figures):
            outcome, why = (
                "inconclusive",
                f"calls that take until their deadline of {deadline_ms:g} ms would meet it too",
            )
        elif not met and latencies is not None and not self._is_surely_missed(figures, latencies):
            measured, limit = told_apart(left, right)
            why = f"{measured} was measured against {limit}, which so few calls do not show at 99 % confidence"
            outcome = "inconclusive"
        return Judgement(self.window, self.text, outcome, left, right, why=why, assumption=self.is_assumption)

    def _is_met_at(self, deadline_ms: float, figures: AllFigures) -> bool:
        """Whether the latency that it bounds from above, if it has one, could be the deadline."""
        subject = self.subject()
        if not isinstance(self.comparison.ops[0], ast.LtE | ast.Lt) or subject is None:
            return False
        window, lane, name = subject
        of_lane = figures[window][lane]
        if not isinstance(of_lane, Figures) or FIGURES[name].quantile is None:
            return False
        at_deadline = of_lane.replaced(**{name: deadline_ms})
        changed = {**figures, window: {**figures[window], lane: at_deadline}}
        left = _value(self.comparison.left, self.window, changed)
        right = _value(self.comparison.comparators[0], self.window, changed)
        return _COMPARISONS[type(self.comparison.ops[0])][1](left, right)

    def _is_surely_missed(self, figures: AllFigures, latencies: AllLatencies) -> bool:
        """Whether it is missed with each side anywhere in its confidence interval."""
        left = _interval(self.comparison.left, self.window, figures, latencies)
        right = _interval(self.comparison.comparators[0], self.window, figures, latencies)
        met = _COMPARISONS[type(self.comparison.ops[0])][1]
        if isinstance(self.comparison.ops[0], ast.Eq | ast.NotEq):
            return True
        return not met(left[0], right[1]) and not met(left[1], right[0])


def parse_thresholds(block: Any) -> list[Threshold]:
    """The thresholds of an experiment's ``extensions`` block: a mapping from window to a list of texts.

    Raises:
        UsageError: with all problems of all thresholds at once.
    """
    thresholds = _parse("thresholds", block)
    if not thresholds:
        raise UsageError("thresholds: none is given, so no run could ever fail; give at least one")
    return thresholds


def parse_assumptions(block: Any) -> list[Threshold]:
    """The assumptions of an experiment's ``extensions`` block, written as thresholds are; there may be none.

    Raises:
        UsageError: with all problems of all assumptions at once.
    """
    return _parse("assumptions", block)


def _parse(key: str, block: Any) -> list[Threshold]:
    if not isinstance(block, Mapping):
        raise UsageError(
            f"{key}: a mapping from window ({', '.join(SERVER_WINDOWS)}) to a list is needed, not {block!r}"
        )
    found: list[Threshold] = []
    problems: list[str] = []
    for window, texts in block.items():
        if window not in SERVER_WINDOWS:
            problems.append(f"{key}: there is no window '{window}'{hint(str(window), SERVER_WINDOWS)}")
        elif not isinstance(texts, list):
            problems.append(f"{window}: a list of {key} is needed, not {texts!r}")
        else:
            for text in texts:
                try:
                    found.append(Threshold.parse(window, text, assumed=key == "assumptions"))
                except UsageError as error:
                    problems.extend(error.problems)
    if problems:
        raise UsageError(problems)
    return found


def _problems(node: ast.expr, window: str) -> list[str]:
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST:
            return []
        return [f"{value!r} is not a number that can be compared"]
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        return [*_problems(node.left, window), *_problems(node.right, window)]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return _problems(node.operand, window)
    if isinstance(node, ast.Name | ast.Attribute):
        return _name_problems(ast.unparse(node), window)
    return [f"'{ast.unparse(node)}' is not a number, a figure or + - * / of them"]


def _name_problems(dotted: str, window: str) -> list[str]:
    *prefixes, name = dotted.split(".")
    lanes = (*LANES, SERVER)
    problems = []
    known = SERVER_FIGURE_NAMES if SERVER in prefixes else tuple(FIGURES)
    if name not in known and name in (*FIGURES, *SERVER_FIGURE_NAMES):
        problems.append(
            f"'{name}' is no figure of {'the server' if SERVER in prefixes else f'calls: write {SERVER}.{name}'}"
        )
    elif name not in known:
        problems.append(f"there is no figure '{name}'{hint(name, known)}")
    if len(prefixes) > 2 or (len(prefixes) == 2 and (prefixes[0] not in SERVER_WINDOWS or prefixes[1] not in lanes)):
        problems.append(f"'{dotted}' is not window.lane.figure")
    elif len(prefixes) == 1 and prefixes[0] not in (*SERVER_WINDOWS, *lanes):
        problems.append(f"there is no window or lane '{prefixes[0]}'{hint(prefixes[0], (*SERVER_WINDOWS, *lanes))}")
    of_window = _place(dotted, window)[0]
    if not problems and SERVER not in prefixes and of_window not in WINDOWS:
        problems.append(
            f"'{dotted}' is never measured: the window '{of_window}' has no calls, only figures of the server"
        )
    only_in = FIGURES[name].only_in if not problems and SERVER not in prefixes else None
    if only_in is not None and of_window != only_in.window:
        problems.append(f"'{dotted}' is never measured: {only_in.why}, in the window '{only_in.window}'")
    return problems


def _value(node: ast.expr, window: str, figures: AllFigures) -> float:
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]  # parse() let only numbers through
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, window, figures), _value(node.right, window, figures)
        if isinstance(node.op, ast.Div) and right == 0:
            raise NoDataError(f"{ast.unparse(node.right)} is 0 and")
        result = _ARITHMETIC[type(node.op)](left, right)
        if abs(result) > _LARGEST * _LARGEST:
            raise NoDataError(f"{ast.unparse(node)} is beyond all measure and")
        return result
    if isinstance(node, ast.UnaryOp):
        return -_value(node.operand, window, figures)
    return _figure(ast.unparse(node), window, figures)


def _interval(node: ast.expr, window: str, figures: AllFigures, latencies: AllLatencies) -> Interval:
    """Where a value lies at 99 % confidence; only quantiles are uncertain."""
    if isinstance(node, ast.BinOp):
        return _combined(
            node.op,
            _interval(node.left, window, figures, latencies),
            _interval(node.right, window, figures, latencies),
        )
    if isinstance(node, ast.UnaryOp):
        low, high = _interval(node.operand, window, figures, latencies)
        return -high, -low
    if isinstance(node, ast.Name | ast.Attribute):
        of_window, of_lane, name = _place(ast.unparse(node), window)
        quantile = FIGURES[name].quantile if of_lane != SERVER else None
        if quantile is not None:
            return quantile_bounds(latencies[of_window][of_lane], quantile)
    value = _value(node, window, figures)
    return value, value


def _combined(operation: ast.operator, left: Interval, right: Interval) -> Interval:
    """Interval arithmetic; all that there is where a divisor may be 0."""
    if isinstance(operation, ast.Div) and right[0] <= 0 <= right[1]:
        return -math.inf, math.inf
    ends = [_ARITHMETIC[type(operation)](a, b) for a in left for b in right]
    return min(ends), max(ends)


def _place(dotted: str, window: str) -> tuple[str, str, str]:
    """Window, lane and name of a figure, in a threshold of ``window``."""
    *prefixes, name = dotted.split(".")
    of_window = next((prefix for prefix in prefixes if prefix in SERVER_WINDOWS), window)
    return of_window, next((prefix for prefix in prefixes if prefix in (*LANES, SERVER)), "faulted"), name


def _figure(dotted: str, window: str, figures: AllFigures) -> float:
    of_window, of_lane, name = _place(dotted, window)
    measured = figures.get(of_window, {}).get(of_lane)
    value = measured[name] if isinstance(measured, Figures) else getattr(measured, name, None)
    if value is None or (isinstance(measured, Figures) and measured.calls == 0):
        raise NoDataError(f"{of_window}.{of_lane}.{name}")
    return float(value)
