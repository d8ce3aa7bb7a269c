"""A load as seen from the run: what it refuses to start, and what it takes for an end."""

from dataclasses import replace

import pytest

from mcp_chaos.errors import PartError
from mcp_chaos.history.folder import RunFolder
from mcp_chaos.load import process
from mcp_chaos.load.process import LoadProcess
from mcp_chaos.load.shapes import Burst, Locust
from mcp_chaos.load.spec import LoadSpec, Target
from mcp_chaos.machine.processes import Child
from mcp_chaos.mcp import ToolCall
from mcp_chaos.workload.workload import Workload

HERE = Target("127.0.0.1", 1, "127.0.0.1:1", "/mcp", "streamable")
SPEC = LoadSpec("test", HERE, Locust(), Workload.of(ToolCall("x")), 1.0, seed=1)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (replace(HERE, tls=True), "over TLS by its own name only"),
        (replace(HERE, dialect="sse"), "do not speak the dialect 'sse', only jsonrpc, streamable, modern"),
        (replace(HERE, dialect="websocket"), "do not speak the dialect 'websocket'"),
    ],
)
def test_what_locust_cannot_reach_is_told(folder: RunFolder, target: Target, said: str) -> None:
    with pytest.raises(PartError, match=said):
        LoadProcess(replace(SPEC, target=target), folder).start()
    assert not folder.calls_paths("test")


def test_locust_has_to_be_installed(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "find_spec", lambda _: None)
    with pytest.raises(PartError, match="Locust is not installed"):
        LoadProcess(SPEC, folder).start()


@pytest.mark.parametrize(
    ("command", "has_result", "died"),
    [
        ("exit 0", True, False),
        ("kill -TERM $$", True, False),  # by a signal that came when its work was done
        ("kill -TERM $$", False, True),
        ("exit 1", True, True),
        ("exit 0", False, True),
    ],
)
def test_a_load_that_left_its_result_has_ended(
    folder: RunFolder, command: str, has_result: bool, died: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = LoadProcess(replace(SPEC, shape=Burst()), folder)
    child = Child("load", ["/bin/sh", "-c", command], folder.path / "load-test.log", str(folder.path))
    child.start()
    assert child.wait(10)
    monkeypatch.setattr(load, "_child", child)
    if has_result:
        folder.write("result-test.json", {"calls": 3})
    if died:
        with pytest.raises(PartError, match="The load 'test' died"):
            load.result()
    else:
        assert load.result() == {"calls": 3}
