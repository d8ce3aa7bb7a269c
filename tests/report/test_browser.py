"""The page in a real Chromium: no errors, windows where the events are, hover, zoom, keys, light, dark and phone."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from mcp_chaos.report.html import render_page, run_page
from tests.histories import fault
from tests.report.runs import START_S, write_run

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert path, f"none of {', '.join(BROWSERS)} is on PATH; on Debian: apt install chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_run(tmp_path_factory.mktemp("page"))
    shown = run_page(folder)
    path = folder.path / "report.html"
    path.write_text(render_page(shown.title, "pass", [shown]))
    return path


class Opened:
    """The page, and all that went wrong in it."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page = page
        self.troubles: list[str] = []
        page.on("console", lambda message: self.troubles.append(message.text))
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        page.on("request", lambda request: self._requested(request.url))
        page.goto(file.as_uri())
        page.wait_for_selector("section.run[data-drawn=yes]")

    def _requested(self, url: str) -> None:
        if not url.startswith(("file:", "data:", "blob:")):
            self.troubles.append(url)

    def range_s(self, chart: str) -> list[float]:
        found: list[float] = self.page.evaluate(
            "name => document.querySelector(`[data-chart=${name}]`)._fullLayout.xaxis.range.map(Number)", chart
        )
        return found

    def wait_for_range(self, chart: str, wide_s: float) -> None:
        self.page.wait_for_function(
            """([name, wide]) => {
                const [from, until] = document.querySelector(`[data-chart=${name}]`)._fullLayout.xaxis.range;
                return Math.abs(until - from - wide) < 0.01;
            }""",
            arg=[chart, wide_s],
        )


@pytest.fixture(params=[("light", 1280), ("dark", 1280), ("light", 390)], ids=["light", "dark", "phone"])
def opened(browser: Browser, file: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    scheme, width = request.param
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    made = Opened(page, file)
    yield made
    assert made.troubles == []
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.documentElement.scrollWidth") == width  # nothing sticks out
    page.close()


def test_windows_are_where_the_events_are(opened: Opened) -> None:
    for chart in ("rate", "success", "latency", "outcomes", "heat"):
        shapes: list[dict[str, Any]] = opened.page.evaluate(
            "name => document.querySelector(`[data-chart=${name}]`).layout.shapes", chart
        )
        assert [(shape["x0"], shape["x1"]) for shape in shapes] == [(3, 5)]
        assert opened.page.locator(f"[data-chart={chart}] .annotation-text").text_content() == "1 partition"
    faulted = opened.page.evaluate("document.querySelector('[data-chart=success]').data[0]")
    low = [x for x, y in zip(faulted["x"], faulted["y"], strict=True) if y == 0]
    assert min(low) > 3
    assert max(low) < 5


def test_names_of_faults_never_overlap(browser: Browser, tmp_path: Path) -> None:
    """They come one by one, several within a second, and one at the very end; zooming in gives them room."""
    at = START_S
    times = [(3.3, 3.4), (5.1, 5.2), (5.15, 5.4), (5.2, 5.3), (7.0, 8.0), (11.8, 11.9)]
    more = [e for n, (start, end) in enumerate(times) for e in fault(at + start, at + end, f"more-{n}")]
    folder = write_run(tmp_path, more=more)
    shown = run_page(folder)
    path = tmp_path / "report.html"
    path.write_text(render_page(shown.title, "pass", [shown]))
    for width in (390, 1280):
        opened = Opened(browser.new_page(viewport={"width": width, "height": 900}), path)
        chart = opened.page.locator("[data-chart=success]")
        labels = chart.locator(".annotation-text")
        said = labels.all_text_contents()
        assert said[0] == {390: "1–2", 1280: "1"}[width]  # no room for its name before the next
        assert "3–5" in said
        assert "6 partition" in said
        boxes = [label.bounding_box() for label in labels.all()]
        frame = chart.bounding_box()
        assert frame is not None
        for box, following in zip(boxes, [*boxes[1:], None], strict=True):
            assert box is not None
            end = following["x"] if following is not None else frame["x"] + frame["width"]
            assert box["x"] + box["width"] <= end
        opened.page.evaluate("element => element.focus()", chart.element_handle())
        for _ in range(3):
            opened.page.keyboard.press("+")
        opened.wait_for_range("success", 1.5)
        assert "3–5" not in labels.all_text_contents()
        opened.page.close()


def test_a_short_fault_of_a_long_run_can_be_looked_at(browser: Browser, tmp_path: Path) -> None:
    odd = fault(START_S + 300.1234567, START_S + 305.7654321, "more-1")
    last = fault(START_S + 597, START_S + 600, "more-2")
    folder = write_run(tmp_path, seconds=600, more=[*odd, *last])
    shown = run_page(folder)
    path = tmp_path / "report.html"
    path.write_text(render_page(shown.title, "pass", [shown]))
    opened = Opened(browser.new_page(), path)
    times = "document.querySelector('[data-chart=success]').data[0].x"
    coarse = opened.page.evaluate(times)
    for number in (2, 1, 0):
        opened.page.get_by_role("button", name="zoom in on partition").nth(number).click()
        opened.page.wait_for_function(f"() => {times}[1] - {times}[0] === 0.5")
    opened.wait_for_range("heat", 4)  # 2 to 6 s
    fine = opened.page.evaluate(times)
    success = opened.page.evaluate("document.querySelector('[data-chart=success]').data[0].y")
    assert {y for x, y in zip(fine, success, strict=True) if 3 < x < 5} == {0}
    assert {y for x, y in zip(fine, success, strict=True) if not 3 < x < 5} == {1}
    opened.page.get_by_role("group", name="Success: part shown").get_by_role("button", name="all").click()
    opened.wait_for_range("heat", 600)
    assert opened.page.evaluate(times) == coarse
    assert opened.troubles == []
    opened.page.close()


def test_hover_tells_the_figures(opened: Opened) -> None:
    chart = opened.page.locator("[data-chart=success]")
    chart.scroll_into_view_if_needed()
    area = chart.locator(".nsewdrag").bounding_box()
    assert area is not None
    opened.page.mouse.move(area["x"] + area["width"] * 4 / 12, area["y"] + area["height"] / 2)
    chart.locator(".hoverlayer .legend").wait_for(timeout=5000)
    text = chart.locator(".hoverlayer").text_content() or ""
    assert "faulted lane" in text
    assert "0.0%" in text


def test_buttons_zoom_all_charts_together(opened: Opened) -> None:
    group = opened.page.get_by_role("group", name="Success: part shown")
    group.get_by_role("button", name="zoom in").click()
    for chart in ("success", "latency"):
        opened.wait_for_range(chart, 6)
    group.get_by_role("button", name="later").click()
    opened.page.wait_for_function("() => document.querySelector('[data-chart=heat]')._fullLayout.xaxis.range[0] > 4")
    assert opened.range_s("rate") == pytest.approx(opened.range_s("heat"))
    group.get_by_role("button", name="all").click()
    opened.wait_for_range("latency", 12)


def test_all_of_it_can_be_reached_by_keyboard(opened: Opened) -> None:
    plot = opened.page.locator("[data-chart=latency]")
    plot.focus()
    opened.page.keyboard.press("+")
    opened.wait_for_range("rate", 6)
    opened.page.keyboard.press("-")
    opened.wait_for_range("rate", 12)
    opened.page.keyboard.press("+")
    opened.page.keyboard.press("0")
    opened.wait_for_range("rate", 12)
    names = set()
    for _ in range(60):
        opened.page.keyboard.press("Tab")
        names.add(
            opened.page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.tagName")
        )
    assert {"zoom in", "earlier", "SUMMARY", "Thresholds"} <= names


def test_colours_follow_the_scheme(browser: Browser, file: Path) -> None:
    page = browser.new_page(color_scheme="light")
    Opened(page, file)
    colour = "document.querySelector('[data-chart=rate]').data[0].line.color"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"() => {colour} !== '{light}'")
    page.close()


def test_it_is_readable_without_scripts(browser: Browser, file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.get_by_text("The charts need scripts").is_visible()
    page.get_by_text("The same as a table").click()
    assert page.get_by_role("region", name="The time line as a table").is_visible()
    context.close()
