"""The page of a run, as text; a browser looks at it in test_browser.py."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
from click.testing import CliRunner

from mcp_chaos.cli import cli
from mcp_chaos.history.calls import Reason
from mcp_chaos.report.charts import colours
from mcp_chaos.report.html import render_page, run_page
from mcp_chaos.report.prometheus import as_prometheus
from tests.report.runs import HOSTILE, write_run


def without_scripts(page: str) -> str:
    return re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_all_is_there_without_scripts(tmp_path: Path) -> None:
    shown = run_page(write_run(tmp_path))
    text = without_scripts(render_page(shown.title, "pass", [shown]))
    for words in (
        "The fault was felt, all 2 thresholds were met",
        "partition, on mcp: 3.0 to 5.0 s",
        "success_fraction &gt;= 0.99",
        "chaos run x.yaml",
        "from the first call after a heal".capitalize(),
    ):
        assert words in text
    assert text.count("<tr>") > 30  # the time line is among the tables
    assert "http://" not in text
    assert "https://" not in text


def test_nothing_a_server_said_becomes_a_part_of_the_page(tmp_path: Path) -> None:
    shown = run_page(write_run(tmp_path, title=HOSTILE))
    page = render_page(shown.title, "pass", [shown])
    assert HOSTILE not in page
    assert "&lt;/script&gt;" in page
    assert "<" not in shown.data


def test_a_page_says_which_version_made_the_run(tmp_path: Path) -> None:
    facts = dict(run_page(write_run(tmp_path, mcp_chaos="0.0.9")).facts)
    assert facts["mcp_chaos"] == "0.0.9"
    assert "mcp_chaos" not in dict(run_page(write_run(tmp_path, mcp_chaos=None)).facts)  # killed early, in format 1


def test_a_run_without_calls_has_a_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    folder.calls_path("sustained").unlink()
    shown = run_page(folder)
    text = render_page(shown.title, "inconclusive", [shown])
    assert "there is nothing to draw" in text
    assert "Plotly" not in text


def test_a_run_that_was_killed_before_its_load_has_a_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    folder.events_file.path.write_text("")
    assert "there is nothing to draw" in render_page("x", "inconclusive", [run_page(folder)])


def test_report_makes_the_page_again(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    made = CliRunner().invoke(cli, ["report", str(folder.path)])
    assert made.exit_code == 0, made.output
    assert (folder.path / "report.html").stat().st_size < 8_000_000
    made = CliRunner().invoke(cli, ["report", str(folder.path), "--html", str(tmp_path / "mine.html")])
    assert made.exit_code == 0
    assert (tmp_path / "mine.html").read_text() == (folder.path / "report.html").read_text()
    made = CliRunner().invoke(cli, ["report", str(folder.path), "--html", str(tmp_path / "no" / "where.html")])
    assert "cannot be written" in str(made.exception)


@pytest.mark.parametrize("reason", set(Reason) - {Reason.OK})
def test_every_outcome_is_drawn_and_in_a_table(tmp_path: Path, reason: Reason) -> None:
    shown = run_page(write_run(tmp_path, reason=reason))
    said = reason.name.lower().replace("_", " ")
    assert f'"{said}"' in str(shown.data)
    (row,) = [row for row in shown.outcomes if row["reason"] == said]
    assert (row["lane"], row["calls"], row["touched"]) == ("faulted", 20, 20)


def test_every_colour_is_there(tmp_path: Path) -> None:
    css = (files("mcp_chaos.report") / "page" / "report.css").read_text() + colours()
    names = {
        name
        for reason in Reason
        for name in re.findall(r'"(--[a-z0-9_-]+)"', str(run_page(write_run(tmp_path, reason=reason)).data))
    }
    assert {"--faulted", "--control", "--reason-ok", "--heat"} <= names
    for name in names - {"--heat"}:
        assert css.count(f"{name}:") == 2, name  # light and dark


def test_a_service_that_was_never_steady_is_said_to_be(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    calls = folder.calls("sustained")
    calls["outcome"][calls["lane"] == 0], calls["reason"][calls["lane"] == 0] = 1, Reason.REFUSED
    calls.tofile(folder.calls_path("sustained"))
    shown = run_page(folder)
    assert ("slowest recovery", "never", "") in shown.key_figures
    assert "Inf" in as_prometheus([shown])
