"""A small server on the official SDK, sound or with a planted defect, as a process of its own: prints its port."""

import asyncio
import json
import logging
import sys
import time

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from mcp_chaos.lab.defects import Defect
from mcp_chaos.lab.planted import BITES, MIDDLEWARE
from mcp_chaos.lab.planted.events import Events

READ_ONLY = ToolAnnotations(read_only_hint=True)


def add_tools(server: MCPServer, slow_s: float, flaw: str) -> None:
    places = asyncio.Semaphore(2)

    async def echo(text: str) -> str:
        await asyncio.sleep(0.01)
        return text

    async def work() -> None:
        async with places:
            await asyncio.sleep(slow_s)

    async def slow() -> str:
        if flaw == "blocks":
            time.sleep(slow_s)  # it holds the event loop
        elif flaw == "runs on":
            await asyncio.shield(asyncio.ensure_future(work()))  # whoever asked may have cancelled
        else:
            await work()
        return "done"

    for tool in (echo, slow):
        server.add_tool(tool, annotations=READ_ONLY)


async def bites(_: Request) -> JSONResponse:
    return JSONResponse({"bites": BITES.count})


async def main(defect: str, slow_s: float, flaw: str, stateless: bool) -> None:
    # Before the SDK does it with tracebacks that are drawn on the event loop.
    logging.basicConfig(level=logging.CRITICAL)
    server = MCPServer("echoes")
    add_tools(server, slow_s, flaw)
    server.custom_route("/bites", methods=["GET"])(bites)
    events = Events(own_only=flaw != "replays all") if flaw.startswith("replays") else None
    app: ASGIApp = server.streamable_http_app(stateless_http=stateless, event_store=events)
    if defect:
        app = MIDDLEWARE[Defect(defect)](app)
    serving = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="critical", timeout_keep_alive=75, timeout_graceful_shutdown=1)
    )
    running = asyncio.create_task(serving.serve())
    while not serving.started:
        await asyncio.sleep(0.01)
    sys.stdout.write(f"{serving.servers[0].sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await running


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    asyncio.run(main(**given))
