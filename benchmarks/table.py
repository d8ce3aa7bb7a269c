"""From samples to Markdown; nothing here runs or reads anything."""

import statistics
from collections.abc import Callable, Mapping, Sequence

from measure import Sample
from rivals import Client

Cell = tuple[str, int]
"""The name of a client, and the concurrency."""

Round = Mapping[Cell, Sample]
"""All that one round gave; a run that failed is not in it."""

_NOTHING = "–"


def cost_cell(rounds: Sequence[Round], cell: Cell) -> str:
    """Medians over the rounds: ``CPU µs per call (calls/s)``."""
    samples = [one[cell] for one in rounds if cell in one]
    if not samples:
        return _NOTHING
    cpu_us = statistics.median(sample.cpu_us_per_call for sample in samples)
    calls_per_s = statistics.median(sample.calls_per_s for sample in samples)
    return f"{cpu_us:.{0 if cpu_us >= 100 else 1}f} ({calls_per_s:.0f})"


def ratios(rounds: Sequence[Round], cell: Cell, base: str) -> list[float]:
    """CPU per call against the base's, round by round.

    Noise that lasts longer than a run hits both sides of a round alike and cancels.
    """
    base_cell = base, cell[1]
    both = [one for one in rounds if cell in one and base_cell in one]
    return [one[cell].cpu_us_per_call / one[base_cell].cpu_us_per_call for one in both]


def ratio_cell(rounds: Sequence[Round], cell: Cell, base: str) -> str:
    """CPU per call against the base's: median, lowest and highest over the rounds."""
    found = ratios(rounds, cell, base)
    return f"{statistics.median(found):.2f} ({min(found):.2f}–{max(found):.2f})" if found else _NOTHING


def grid(clients: Sequence[Client], concurrencies: Sequence[int], fill: Callable[[Cell], str]) -> str:
    """A table with a row per client and a column per concurrency."""
    lines = [_row(["client", "checked", *map(str, concurrencies)]), _row(["---"] * (2 + len(concurrencies)))]
    for client in clients:
        cells = [fill((client.name, concurrency)) for concurrency in concurrencies]
        lines.append(_row([client.name, "yes" if client.checked else "no", *cells]))
    return "\n".join(lines)


AIMS = (
    ("wrk, Lua", "mcp_chaos at most 1.5 × wrk with Lua", lambda ratio: 1 / ratio, lambda times: times <= 1.5),
    ("k6", "k6 at least 8 × mcp_chaos", lambda ratio: ratio, lambda times: times >= 8),
    ("Locust FastHttpUser", "FastHttpUser at least 10 × mcp_chaos", lambda ratio: ratio, lambda times: times >= 10),
    ("aiohttp", "aiohttp at least 6 × mcp_chaos", lambda ratio: ratio, lambda times: times >= 6),
    ("mcp_chaos streamable", "streamable at most 1.6 × mcp_chaos", lambda ratio: ratio, lambda times: times <= 1.6),
    ("mcp_chaos streamable, SSE", "SSE at most 1.6 × mcp_chaos", lambda ratio: ratio, lambda times: times <= 1.6),
)
"""A client, what is aimed at, how the aim's number comes from its CPU as a multiple of ours, and whether it is met."""


def aims(rounds: Sequence[Round], concurrencies: Sequence[int], base: str) -> str:
    """Every aim at every concurrency: its number, and whether it is met."""
    lines = [_row(["aim", *map(str, concurrencies)]), _row(["---"] * (1 + len(concurrencies)))]
    for client, text, number, is_met in AIMS:
        cells = []
        for concurrency in concurrencies:
            found = ratios(rounds, (client, concurrency), base)
            times = number(statistics.median(found)) if found else None
            cells.append(_NOTHING if times is None else f"{times:.2f} {'met' if is_met(times) else '**missed**'}")
        lines.append(_row([text, *cells]))
    return "\n".join(lines)


def report(
    rounds: Sequence[Round], clients: Sequence[Client], concurrencies: Sequence[int], base: str, notes: Sequence[str]
) -> str:
    """The whole of it, in Markdown.

    Args:
        rounds: of samples.
        clients: in the order of the rows.
        concurrencies: in the order of the columns.
        base: the name of the client that the ratios are to.
        notes: what is missing and why.
    """
    checked = "unique id in each request; status, JSON, id and result of each answer checked; latency recorded"
    rivals = [client for client in clients if client.name != base]
    parts = [
        f"CPU µs per call (calls/s) by concurrency; medians over {len(rounds)} rounds. Checked: {checked}.",
        grid(clients, concurrencies, lambda cell: cost_cell(rounds, cell)),
        f"CPU per call as a multiple of {base}'s in the same round: median (lowest–highest).",
        grid(rivals, concurrencies, lambda cell: ratio_cell(rounds, cell, base)),
        "Against what was aimed at, by the medians of these ratios:",
        aims(rounds, concurrencies, base),
        "Versions: " + ", ".join(dict.fromkeys(client.version for client in clients)) + ".",
        "\n".join(f"- {note}" for note in notes),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
