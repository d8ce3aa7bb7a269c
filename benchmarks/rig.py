"""What a checked call costs our engine and its rivals.

Rounds are interleaved: each client once, then each client once more, so that what the machine does besides hits all of
them alike.
"""

import sys
from collections.abc import Mapping, Sequence

import table
from install import Tools
from measure import MeasureError, Sample, echo_server, sample
from rivals import Client

BASE = "mcp_chaos"


def report(tools: Tools, clients: Sequence[Client], concurrencies: Sequence[int], rounds: int, measured_s: int) -> str:
    """Measure and tell, in Markdown.

    Args:
        tools: where everything is.
        clients: in the order of the rows.
        concurrencies: calls at a time, in the order of the columns.
        rounds: of every client at every concurrency.
        measured_s: by which a client's long run is longer than its short one.
    """
    notes = list(tools.notes)
    with echo_server(tools.echo, 0.0, "json") as json_port, echo_server(tools.echo, 0.0, "sse") as sse_port:
        ports = {"json": json_port, "sse": sse_port}
        made = [_one_round(number + 1, clients, ports, concurrencies, measured_s, notes) for number in range(rounds)]
    return table.report(made, clients, concurrencies, BASE, notes)


def _one_round(
    number: int,
    clients: Sequence[Client],
    ports: Mapping[str, int],
    concurrencies: Sequence[int],
    measured_s: int,
    notes: list[str],
) -> table.Round:
    """Every client once at every concurrency; what fails becomes a note."""
    samples: dict[table.Cell, Sample] = {}
    for concurrency in concurrencies:
        for client in clients:
            what = f"{client.name} at {concurrency}, round {number}"
            try:
                found = sample(client, ports[client.mode], concurrency, measured_s)
            except MeasureError as error:
                notes.append(f"{what}: {error}")
                sys.stderr.write(f"{what}: {error}\n")
            else:
                samples[client.name, concurrency] = found
                sys.stderr.write(f"{what}: {found.cpu_us_per_call:.1f} us, {found.calls_per_s:.0f}/s\n")
    return samples
