"""``python -m mcp_chaos.bridge PORT DIALECT``: serve a stdio server on loopback until it, or this, ends.

Its command comes by the environment: command lines are seen by everybody on a machine, and its words may be secrets.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from mcp_chaos.bridge import COMMAND
from mcp_chaos.bridge.app import Bridge
from mcp_chaos.bridge.pipe import Pipe, PipeError
from mcp_chaos.machine.processes import adopt_orphans


class _Http(uvicorn.Server):
    """A server that leaves signals to whoever runs it: here the other side of the bridge has to be ended too."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(port: int, dialect: str, argv: list[str]) -> str:
    """Serve until the server ends, or this process is told to.

    Returns:
        How it ended.

    Raises:
        OSError: the command cannot be run.
        PipeError: it does not speak MCP.
    """
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    pipe = await Pipe.start(argv)
    telling = asyncio.create_task(told.wait())
    opening = asyncio.create_task(pipe.open(dialect))
    try:
        await asyncio.wait({opening, telling}, return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            return "told to end"
        opening.result()
        return await _serve_http(port, pipe, telling)
    finally:
        opening.cancel()
        telling.cancel()
        await pipe.close()


async def _serve_http(port: int, pipe: Pipe, telling: asyncio.Task[bool]) -> str:
    http = _Http(
        uvicorn.Config(Bridge(pipe).app(), port=port, lifespan="off", log_level="warning", timeout_keep_alive=75)
    )
    serving = asyncio.create_task(http.serve())
    await asyncio.wait({serving, telling, pipe.reading}, return_when=asyncio.FIRST_COMPLETED)
    # Clients of a pipe see it break at once: so do those of this port.
    http.should_exit = http.force_exit = True
    await serving
    if not pipe.reading.done():
        return "told to end"
    return f"the server ended with code {await pipe.process.wait()}"


def main() -> None:
    """Serve; why it ended is said last."""
    port, dialect = sys.argv[1:]
    argv = json.loads(os.environ.pop(COMMAND))
    adopt_orphans()
    try:
        how = asyncio.run(serve(int(port), dialect, argv))
    except OSError as error:
        how = f"{argv[0]} cannot be run ({error.strerror})"
    except PipeError as error:
        how = str(error)
    raise SystemExit(how)


if __name__ == "__main__":
    main()
