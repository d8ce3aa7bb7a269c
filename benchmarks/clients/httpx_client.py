"""httpx, as its documentation has it used: one client whose pool has a connection per user, one task per user.

Usage: httpx_client.py PORT CONCURRENCY SECONDS
"""

import asyncio
import sys
from typing import Any

import httpx
from checked import arguments, run_users

_TIMEOUT_S = 30.0  # at 200 users an answer takes longer than the 5 s that httpx gives by itself


async def main() -> int:
    """Make checked calls until time is up."""
    url, concurrency, seconds = arguments()
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncClient(limits=limits, timeout=_TIMEOUT_S, trust_env=False) as client:

        async def post(body: dict[str, Any]) -> tuple[int, str]:
            response = await client.post(url, json=body)
            return response.status_code, response.text

        return await run_users(post, concurrency, seconds)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
