"""Gets the servers from the registries, pinned with hashes, into the cache of this machine."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "servers"


def python_of(name: str) -> Path:
    """The interpreter of a virtual environment with what ``requirements/servers/NAME.txt`` says."""
    pins = REQUIREMENTS / f"{name}.txt"

    def install(folder: Path) -> None:
        uv: list[str | Path] = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
        where: list[str | Path] = ["--python", folder / "bin" / "python"]
        subprocess.run([*uv, "pip", "install", "--quiet", "--require-hashes", *where, "-r", pins], check=True)

    return _once(name, pins, install) / "bin" / "python"


def node_server() -> Path:
    """The script of the TypeScript server."""
    source = REQUIREMENTS / "node"

    def install(folder: Path) -> None:
        shutil.copytree(source, folder)
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True)

    folder = _once("node", source / "package-lock.json", install)
    return folder / "node_modules" / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"


def _once(name: str, pins: Path, install: Callable[[Path], None]) -> Path:
    """A folder that is whole or not there, made by one process while others wait."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mcp_chaos" / "servers"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"{name}-{hashlib.sha256(pins.read_bytes()).hexdigest()[:12]}"
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            shutil.rmtree(folder, ignore_errors=True)
            install(folder)
            (folder / "whole").touch()
    return folder
