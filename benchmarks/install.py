"""Find or obtain what the rig needs: the echo server, wrk, hey, k6 and the rivals that are Python packages.

Everything is kept in the cache folder, but for wrk, which comes from the system's packages. A rival that cannot be had
is left out with a note; only the echo server is needed.

Usage: install.py
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent

_GO_MODULES = {"hey": "github.com/rakyll/hey@latest", "k6": "go.k6.io/k6@latest"}
_COMMAND_LIMIT_S = 900.0  # k6 compiles for minutes


class InstallError(Exception):
    """Something could not be obtained; says why in a line for people."""


@dataclass(frozen=True)
class Tools:
    """Where everything is.

    Args:
        echo: the compiled server.
        python: of the environment that has the Python rivals.
        wrk: the rival of this name; like the other rivals ``None`` where it is missing.
        hey: as above.
        k6: as above.
        notes: why what is missing is missing.
    """

    echo: Path
    python: Path | None
    wrk: Path | None
    hey: Path | None
    k6: Path | None
    notes: tuple[str, ...]


def cache_folder() -> Path:
    """``bench`` in the project's cache folder."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(root) / "mcp_chaos" / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def install() -> Tools:
    """Find everything, obtaining what is not there yet.

    Raises:
        InstallError: there is no echo server.
    """
    echo = _echo()
    found: dict[str, Path | None] = {}
    notes = []
    for name, obtain in (("python", _python), ("wrk", _wrk), ("hey", _go_tool), ("k6", _go_tool)):
        try:
            found[name] = obtain(name)
        except InstallError as error:
            found[name] = None
            notes.append(f"{'aiohttp, httpx, Locust' if name == 'python' else name}: left out, {error}")
    return Tools(echo=echo, notes=tuple(notes), **found)


def _echo() -> Path:
    """The server, compiled anew when its source has changed."""
    binary = cache_folder() / "echo"
    sources = [HERE / "echo.c", *HERE.glob("echo_*.h")]
    if not binary.exists() or binary.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        _run("gcc", "-O2", "-Wall", "-Wextra", "-o", str(binary), str(sources[0]))
    return binary


def _python(_: str) -> Path:
    """The interpreter of an environment of its own: the rivals' dependencies are no business of the project's."""
    requirements = HERE / "requirements.in"
    python = cache_folder() / "venv" / "bin" / "python"
    ready = cache_folder() / "venv" / "ready"
    if not ready.exists() or ready.stat().st_mtime < requirements.stat().st_mtime:
        _run(sys.executable, "-m", "venv", "--clear", str(python.parent.parent))
        _run(str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements))
        ready.touch()
    return python


def _wrk(name: str) -> Path:
    """From PATH, or by apt-get where we may."""
    if shutil.which(name) is None:
        if shutil.which("apt-get") is None or os.geteuid() != 0:
            raise InstallError("it is not on PATH, and we may not install it (on Debian: apt install wrk)")
        _run("apt-get", "update", "-q")
        _run("apt-get", "install", "-qy", "--no-install-recommends", name)
    return _on_path(name)


def _go_tool(name: str) -> Path:
    """From PATH or the cache folder, or compiled into it."""
    if shutil.which(name) is not None:
        return _on_path(name)
    binary = cache_folder() / name
    if not binary.exists():
        _run("go", "install", _GO_MODULES[name], GOBIN=str(binary.parent), GOFLAGS="-modcacherw")
    return binary


def _on_path(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        raise InstallError("it is not on PATH")
    return Path(found)


def _run(*command: str, **environment: str) -> None:
    sys.stderr.write(f"{' '.join(command)}\n")
    try:
        subprocess.run(
            command,
            env=os.environ | environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=_COMMAND_LIMIT_S,
        )
    except FileNotFoundError:
        raise InstallError(f"{command[0]} is needed and not on PATH") from None
    except subprocess.TimeoutExpired:
        raise InstallError(f"{command[0]} took longer than {_COMMAND_LIMIT_S:g} s") from None
    except subprocess.CalledProcessError as error:
        last_line = (error.stderr.strip() or "it said nothing").splitlines()[-1]
        raise InstallError(f"{' '.join(command[:3])} failed: {last_line}") from None


if __name__ == "__main__":
    try:
        for what, where in vars(install()).items():
            sys.stdout.write(f"{what}: {where}\n")
    except InstallError as problem:
        sys.exit(str(problem))
