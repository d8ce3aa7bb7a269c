"""Some of the runs of docs/targets.md made again, short; and the page is what they say."""

from pathlib import Path

import pytest

from tests.e2e.conftest import Chaos
from tests.real_servers.servers import SERVERS, Server
from tests.real_servers.table import Row, read_row, read_rows, render

DOCS = Path("docs").resolve()

AGAIN = [
    ("MCP SDK for Python 1.30.0", "HTTP+SSE", "network_partition"),
    ("server-everything", "stdio", "network_partition"),
    ("snowflake-labs-mcp", "HTTP", "stalled_backend"),
]


def the_server(name: str, over: str) -> Server:
    return next(server for server in SERVERS if server.name.startswith(name) and server.over == over)


def the_row(server: Server, experiment: str) -> Row:
    rows = read_rows(DOCS / "targets.json")
    return next(r for r in rows if (r.server, r.over, r.experiment) == (server.name, server.over, experiment))


@pytest.mark.e2e
@pytest.mark.parametrize(("name", "over", "experiment"), AGAIN)
def test_a_run_made_again_comes_to_the_same(
    chaos: Chaos, tmp_path: Path, name: str, over: str, experiment: str
) -> None:
    server = the_server(name, over)
    (tmp_path / "server").mkdir()
    with server.running(tmp_path / "server") as settings:
        result = chaos.run(f"{experiment}.yaml", **settings)
    kept, row = the_row(server, experiment), read_row(server.name, server.over, experiment, result.folder.path)
    assert (row.dialect, row.faults, row.verdict) == (kept.dialect, kept.faults, kept.verdict), result.output
    assert row.why.partition(" was missed")[0] == kept.why.partition(" was missed")[0]


def test_the_page_is_what_the_runs_say_of_every_server() -> None:
    rows = read_rows(DOCS / "targets.json")
    assert (DOCS / "targets.md").read_text() == render(rows)
    assert [(row.server, row.over, row.experiment) for row in rows] == [
        (server.name, server.over, experiment) for server in SERVERS for experiment in server.experiments
    ]
