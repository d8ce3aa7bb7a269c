"""aiohttp, as its documentation has it used: one session, one task per user.

Usage: aiohttp_client.py PORT CONCURRENCY SECONDS
"""

import asyncio
import sys
from typing import Any

import aiohttp
from checked import arguments, run_users


async def main() -> int:
    """Make checked calls until time is up."""
    url, concurrency, seconds = arguments()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:

        async def post(body: dict[str, Any]) -> tuple[int, str]:
            async with session.post(url, json=body) as response:
                return response.status, await response.text()

        return await run_users(post, concurrency, seconds)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
