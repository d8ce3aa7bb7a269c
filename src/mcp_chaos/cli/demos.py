"""``mcp-chaos demo``: an experiment on the embedded reference server, sound or with a planted defect."""

import os
from pathlib import Path

import click

from mcp_chaos.cli.gates import tell_result
from mcp_chaos.config import shipped
from mcp_chaos.config.settings import KEYS
from mcp_chaos.errors import UsageError
from mcp_chaos.gate.plan_file import make_plan
from mcp_chaos.lab.defects import VARIABLE, Defect
from mcp_chaos.lab.parts import check_lab_is_installed
from mcp_chaos.machine.streams import tell
from mcp_chaos.toolkit.given import Profile

QUICK = "quick"
_KEPT = ("mcp_chaos_runs", "mcp_chaos_seed")
"""Settings that say nothing of a server."""


@click.command()
@click.argument("experiment", default="network_partition")
@click.option("--defect", metavar="NAME", help="Plant a defect in the reference server, such as hangs_after_cut.")
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    default="mcp-chaos.html",
    show_default=True,
    help="Where the page goes.",
)
def demo(experiment: str, defect: str | None, page: Path) -> None:
    """Break the network of an embedded reference server, and show what a verdict looks like.

    Needs the extra lab. EXPERIMENT is one of mcp-chaos experiments list. With --defect, the server has a weakness
    that real ones have, and the experiment should find it. The exit code is the verdict's.
    """
    check_lab_is_installed()
    path = shipped.experiments().get(experiment)
    if path is None:
        raise UsageError(f"There is no experiment {experiment!r}; there are {', '.join(shipped.experiments())}.")
    for key in KEYS:
        if key not in _KEPT:  # whatever server was set is another one
            os.environ.pop(key.upper(), None)
    os.environ.pop(VARIABLE, None)
    if defect:
        os.environ[VARIABLE] = defect
    plan = make_plan([path], Profile.read(shipped.profiles()[QUICK]).configuration)
    plan.check()
    code = tell_result(plan, page)
    if not defect:
        tell(f"Next: mcp-chaos demo --defect {Defect.HANGS_AFTER_CUT.value}, which fails")
    raise SystemExit(code)
