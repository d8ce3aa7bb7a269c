"""Pure: the charts of a report as Plotly's JSON. Colours are names, which the page resolves for light and dark."""

import math
from dataclasses import dataclass
from typing import Any

from mcp_chaos.history.reasons import Reason
from mcp_chaos.report.series import Heat, LaneLines, TimeLine, latency_figures
from mcp_chaos.verdict.spans import FaultSpan

Trace = dict[str, Any]

_NS_PER_S = 1e9
_LANE_NAMES = {"faulted": "faulted lane", "control": "control lane"}
_LOG_MS = {
    "type": "log",
    "tickvals": [factor * 10**power for power in range(-2, 7) for factor in (1, 2, 5)],
}


@dataclass(frozen=True)
class Chart:
    """One chart.

    Args:
        name: of it, in its element's id.
        title: above it.
        hint: what it shows, in a sentence.
        traces: Plotly's traces.
        y_axis: Plotly's settings of the vertical axis.
    """

    name: str
    title: str
    hint: str
    traces: list[Trace]
    y_axis: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """For the page."""
        return {"name": self.name, "traces": self.traces, "y_axis": self.y_axis}


def reason_colour(reason: Reason) -> str:
    """The name of a reason's colour."""
    return f"--reason-{reason.key}"


def colours() -> str:
    """Styles that give the colours of reasons on light and on dark paper, for the page."""
    light, dark = (
        " ".join(f"{reason_colour(reason)}: {reason.record.colour[paper]};" for reason in Reason) for paper in (0, 1)
    )
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"


def charts(line: TimeLine) -> list[Chart]:
    """The charts of a run, from the top of the page down."""
    made = [_rate(line), _success(line), _latency(line), _outcomes(line)]
    return [*made, _heat(line, line.heat)] if line.heat.counts else made


def bands(faults: list[FaultSpan], start_ns: int) -> list[dict[str, Any]]:
    """Where faults were in place, in seconds from the start, to be shaded and named; the first to begin first."""
    return [
        {
            "name": fault.name,
            "proxy": fault.proxy,
            "from_s": round((fault.span.start_ns - start_ns) / _NS_PER_S, 3),
            "until_s": round((fault.span.end_ns - start_ns) / _NS_PER_S, 3),
            "felt": fault.proof is not None,
        }
        for fault in sorted(faults, key=lambda fault: fault.span.start_ns)
    ]


def _rate(line: TimeLine) -> Chart:
    traces = [
        _line(line, lanes.calls_per_s, _LANE_NAMES[lane], f"--{lane}", hover="%{y:.1f} calls/s")
        for lane, lanes in line.lanes.items()
    ]
    return Chart("rate", "Calls per second", "Calls by the moment they were due.", traces, {"rangemode": "tozero"})


def _success(line: TimeLine) -> Chart:
    traces = [
        _line(line, lanes.success_fraction, _LANE_NAMES[lane], f"--{lane}", hover="%{y:.1%}")
        for lane, lanes in line.lanes.items()
    ]
    hint = "The part of the calls that were answered well."
    return Chart("success", "Success", hint, traces, {"tickformat": ".0%", "range": [-0.03, 1.05]})


def _latency(line: TimeLine) -> Chart:
    traces = []
    for lane, lanes in line.lanes.items():
        for figure in latency_figures():
            name = f"{figure.heading.removesuffix(' ms')} {_LANE_NAMES[lane]}"
            dash, width = figure.line or ("solid", 1.0)
            made = _line(line, lanes.latency_ms[figure.name], name, f"--{lane}", dash, width)
            traces.append({**made, "hovertemplate": "%{y:.1f} ms"})
    hint = "Of successful calls, from the moment they were due. The axis is logarithmic."
    return Chart("latency", "Latency in ms", hint, traces, _LOG_MS)


def _line(
    line: TimeLine,
    values: list[float | None],
    name: str,
    colour: str,
    dash: str = "solid",
    width: float = 2.5,
    hover: str = "",
) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "marker": {"color": colour, "size": 4},
        "name": name,
        "x": line.times_s,
        "y": values,
        "line": {"color": colour, "dash": dash, "width": width},
        "hovertemplate": hover,
        "connectgaps": False,
    }


def _outcomes(line: TimeLine) -> Chart:
    traces = [trace for lane, lanes in line.lanes.items() for trace in _bars(line, lane, lanes)]
    hint = "How calls ended; those of the control lane only where they did not end well."
    return Chart("outcomes", "Outcomes", hint, traces, {"rangemode": "tozero"})


def _bars(line: TimeLine, lane: str, lanes: LaneLines) -> list[Trace]:
    return [
        {
            "type": "bar",
            "name": reason.title + ("" if lane == "faulted" else f", {_LANE_NAMES[lane]}"),
            "x": line.times_s,
            "y": counts,
            "width": line.bucket_s * 0.92,
            "marker": {"color": reason_colour(reason), "line": {"width": 0}},
            "hovertemplate": "%{y} calls",
        }
        for reason, counts in lanes.reasons.items()
        if lane == "faulted" or reason is not Reason.OK
    ]


def _heat(line: TimeLine, heat: Heat) -> Chart:
    middles = [round((low * high) ** 0.5, 4) for low, high in zip(heat.edges_ms, heat.edges_ms[1:], strict=False)]
    magnitudes = [[round(math.log10(count), 2) if count else None for count in row] for row in heat.counts]
    trace = {
        "type": "heatmap",
        "x": line.times_s,
        "y": middles,
        # By the count's magnitude: one slow call is to be seen beside a hundred usual ones.
        "z": magnitudes,
        "zmin": 0,
        "zmax": max([1.0, *(value for row in magnitudes for value in row if value)]),
        "customdata": heat.counts,
        "colorscale": "--heat",
        "showscale": False,
        "hovertemplate": "%{customdata} calls of about %{y:.1f} ms<extra></extra>",
        "hoverongaps": False,
    }
    hint = "How many calls of the faulted lane took how long; the fuller the colour, the more."
    return Chart("heat", "Latency in ms, call by call", hint, [trace], _LOG_MS)
