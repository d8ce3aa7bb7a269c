"""Locust with each of its two clients, users that never wait, and the same check of each answer.

Usage: locust -f locustfile.py --headless --host URL --users N --spawn-rate N --run-time 4s (FastUser | RequestsUser)
"""

import itertools
import json
import sys
from typing import Any

from checked import PATH, call_body, is_right
from locust import FastHttpUser, HttpUser, constant, events, task

_call_ids = itertools.count(1)


class FastUser(FastHttpUser):
    """The client on geventhttpclient."""

    wait_time = constant(0)

    @task
    def call(self) -> None:
        """Make one checked call."""
        _checked_call(self.client)


class RequestsUser(HttpUser):
    """The client on requests."""

    wait_time = constant(0)

    @task
    def call(self) -> None:
        """Make one checked call."""
        _checked_call(self.client)


def _checked_call(client: Any) -> None:
    call_id = next(_call_ids)
    with client.post(PATH, json=call_body(call_id), catch_response=True) as response:
        if not is_right(call_id, response.status_code, response.text):
            response.failure("not the answer to this call")


@events.quitting.add_listener
def _report(environment: Any, **_: Any) -> None:
    """Print the line that the rig reads."""
    total = environment.stats.total
    sys.stdout.write(json.dumps({"calls": total.num_requests, "errors": total.num_failures}) + "\n")
