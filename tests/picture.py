"""Makes ``docs/report.png``, the picture of a run's page in the README, from a run folder: ``make picture RUN=...``."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.report.test_browser import BROWSERS, FLAGS

PICTURE = Path("docs/report.png")


def main(run: str) -> None:
    """Write the page of a run and take its picture."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    with tempfile.TemporaryDirectory(prefix="mcp_chaos_picture_") as folder, sync_playwright() as playwright:
        page = Path(folder) / "report.html"
        command = [sys.executable, "-m", "mcp_chaos.cli", "report", run, "--html", str(page)]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        shown = playwright.chromium.launch(executable_path=browser, args=FLAGS).new_page(
            viewport={"width": 1100, "height": 1000}
        )
        shown.goto(page.as_uri())
        shown.wait_for_selector("section.run[data-drawn=yes]")
        shown.screenshot(path=PICTURE)


if __name__ == "__main__":
    main(sys.argv[1])
