"""Input that cannot be used ends in exit code 2 and a sentence, whatever it is, and nothing waits for it."""

import os
import pwd
from pathlib import Path

import pytest

from mcp_chaos import cli
from mcp_chaos.errors import EXIT_INTERNAL, EXIT_USAGE, InstallError
from mcp_chaos.faults.toxiproxy_install import cache_folder
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.history.regular_file import read_regular

NINES, DEEP = "9" * 5000, "[" * 60000
OAUTH = {"MCP_OAUTH_CLIENT_ID": "a", "MCP_OAUTH_CLIENT_SECRET": "b"}
SETTINGS: list[dict[str, str]] = [
    {"MCP_CHAOS_SEED": NINES},
    {"MCP_PROXY_LISTEN": f"127.0.0.1:{NINES}"},
    {"MCP_PROXY_LISTEN": "192.0.2.1:8666"},
    {"MCP_PROXY_LISTEN": "no.such.name.invalid:8666"},
    {"MCP_HEADERS": DEEP},
    {"MCP_HEADERS": NINES},
    {"MCP_TOOL": "x", "MCP_ARGUMENTS": DEEP},
    {"MCP_TOOL": "x", "MCP_ARGUMENTS": '{"n": ' + NINES + "}"},
    {"MCP_TOOL": "x\udcff"},
    {"MCP_OAUTH_TOKEN_URL": "http://[", **OAUTH},
    {"MCP_OAUTH_TOKEN_URL": "https://a:99999/", **OAUTH},
    {"MCP_URL": "http://127.0.0.1:8000/mcp\udcff"},
    {"MCP_URL": "http://127.0.0.1:8000/\u00e9"},
    {"MCP_URL": "http://127.0.0.1:8000/ a"},
    {"MCP_URL": "ws://127.0.0.1:99999/ws"},
    {"MCP_SERVER_PID": NINES, "MCP_URL": "http://127.0.0.1:9/mcp"},
    {"MCP_CHAOS_RUNS": "/proc/nothing/runs"},
    {"MCP_CHAOS_RUNS": "/dev/null/runs"},
    {"MCP_CHAOS_LAB_RATE_PER_S": "many"},
    {"MCP_CHAOS_LAB_QUERY_MS": NINES},
    {"MCP_CHAOS_LAB_DEFECT": "none such"},
    {"MCP_TOKEN_FILE": "/dev/zero"},
    {"MCP_CA_FILE": "/dev/zero"},
    {"MCP_WORKLOAD": "FIFO.yaml"},
    {"MCP_TOKEN_FILE": "FIFO.yaml"},
    {"MCP_CA_FILE": "FIFO.yaml"},
    {"MCP_OAUTH_CLIENT_SECRET_FILE": "FIFO.yaml", "MCP_OAUTH_CLIENT_ID": "a", "MCP_OAUTH_TOKEN_URL": "https://a/"},
]
EXPERIMENT = (
    "title: x\ndescription: x\nmethod: []\ncontrols: [{name: c, provider: {type: python, module: mcp_chaos.control}}]\n"
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("FIFO.yaml")
    Path("x.yaml").write_text(EXPERIMENT, encoding="utf-8")


def run(*argv: str) -> int:
    """The exit code of a command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["mcp-chaos", *argv])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: next(iter(settings)))
@pytest.mark.parametrize("argv", [["doctor"], ["load", "burst"], ["gate", "x.yaml"]], ids=lambda argv: argv[0])
def test_settings_that_cannot_be_used(
    settings: dict[str, str], argv: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert run(*argv) == EXIT_USAGE
    said = "".join(capsys.readouterr())
    assert any(name in said for name in settings)
    assert len(said) < 2000
    assert sorted(path.name for path in Path().iterdir()) == ["FIFO.yaml", "x.yaml"]


@pytest.mark.parametrize(
    "argv",
    [
        ["gate", "FIFO.yaml"],
        ["gate", "/dev/zero"],
        ["gate", "nul.yaml"],
        ["gate", "pipe.yaml"],
        ["gate", "x.yaml", "--var-file", "FIFO.yaml"],
        ["gate", "x.yaml", "--baseline", "/dev/zero"],
        ["gate", "x.yaml", "--baseline", "FIFO.yaml"],
        ["gate", "x.yaml", "--baseline", ""],
        ["gate", "x.yaml", "--save-baseline", ""],
        *(["gate", "x.yaml", f"--{name}", ""] for name in ("junit", "json", "markdown", "html", "prometheus")),
        ["load", "burst", "--out", ""],
        ["load", "burst", "--workload", "FIFO.yaml"],
        ["load", "burst", "--fault", f"add_latency latency_ms={DEEP}"],
        ["load", "burst", "--fault", f"add_latency latency_ms={NINES}"],
        ["report", ""],
        ["compare", "/dev/zero", "x.yaml"],
        *(
            [*command, "[" * 3000]
            for command in (["report"], ["runs"], ["heal"], ["gate"], ["gate", "x.yaml", "--html"])
        ),
        ["load", "burst", "--out", "[" * 3000],
        ["gate", "null.yaml"],
        ["gate", "number.yaml"],
        ["heal", "FIFO.yaml"],
        ["init", "--url", "http://127.0.0.1:8000/mcp\udcff"],
    ],
    ids=lambda argv: " ".join(argv)[:40],
)
def test_files_and_arguments_that_cannot_be_used(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("nul.yaml").write_text('title: x\nexperiments: ["a\\0b"]\n', encoding="utf-8")
    Path("number.yaml").write_text(f"{EXPERIMENT}configuration: 2.0\n", encoding="utf-8")
    Path("null.yaml").write_text(EXPERIMENT.replace("title: x", "title:"), encoding="utf-8")
    Path("pipe.yaml").write_text("title: x\nexperiments: [FIFO.yaml]\n", encoding="utf-8")
    assert run(*argv) == EXIT_USAGE
    assert "bug" not in "".join(capsys.readouterr())


def test_only_regular_files_of_bounded_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("long")
    assert read_regular(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_regular(tmp_path / "long", 4)
    for path in (Path("FIFO.yaml"), Path("/dev/zero"), tmp_path, Path("a\0b"), tmp_path / "none"):
        with pytest.raises(OSError):  # noqa: PT011  # what it says is the system's
            read_regular(path)


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    with pytest.raises(InstallError, match="XDG_CACHE_HOME"):
        cache_folder()
    monkeypatch.delenv("TOXIPROXY_SERVER", raising=False)
    monkeypatch.setenv("PATH", "")
    assert run("toxiproxy", "install") != EXIT_INTERNAL


def test_a_run_whose_events_cannot_be_read_is_not_said_to_have_left_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = RunFolder.create(tmp_path / "runs", "x")
    folder.write("manifest.json", {"schema": 1, "thresholds": {}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["mcp-chaos", "heal", str(folder.path)])
        cli.main()
    for put in (os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")):
        folder.events_file.path.unlink(missing_ok=True)
        put(folder.events_file.path)
        for command in ("heal", "report"):
            assert run(command, str(folder.path)) == EXIT_USAGE
            assert "cannot be read" in "".join(capsys.readouterr())
        if folder.events_file.path.is_dir():
            folder.events_file.path.rmdir()
