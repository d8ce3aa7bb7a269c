"""``mcp-chaos experiments``: those that come with the package."""

from pathlib import Path

import click

from mcp_chaos.config import shipped
from mcp_chaos.gate.item import Item
from mcp_chaos.machine.streams import tell


@click.group()
def experiments() -> None:
    """The experiments and profiles that come with mcp_chaos."""


@experiments.command("list")
def list_all() -> None:
    """List them, each with what it asks of a server."""
    found = shipped.experiments()
    wide = max(map(len, found))
    for name, path in found.items():
        asked = " ".join(str(Item(path).load()["description"]).split())
        tell(f"{name:{wide}}  {asked}")
    tell(f"Profiles, for --var-file: {', '.join(shipped.profiles())}")


@experiments.command()
@click.argument("name", required=False)
def path(name: str | None) -> None:
    """Print where the experiment or profile NAME is, for chaos run; without a name, the folder of all of them."""
    tell(str(shipped.path_of(name) if name else shipped.folder()))


@experiments.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default="experiments")
def copy(folder: Path) -> None:
    """Copy all of them into FOLDER (by default experiments), to be changed; over nothing that is there."""
    tell("\n".join(f"Wrote {written}" for written in shipped.copy_to(folder)))
    tell(f"Next: mcp-chaos gate {folder}/network_partition.yaml --var-file {folder}/profiles/quick.yaml")
