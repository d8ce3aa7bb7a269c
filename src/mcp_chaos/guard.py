"""How actions and probes meet Chaos Toolkit when there is no run for them to work in.

An experiment whose control is missing or misspelled would run on without a verdict and exit 0, since Chaos Toolkit only
warns of a control it cannot import and carries on after a failed activity. So the first action or probe of ours that
finds no run ends the whole execution.

Where a run was refused, its reason has been told. Chaos Toolkit plays the rollbacks of such an experiment too: they do
nothing then, and say nothing.
"""

import functools
import logging
import signal
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from chaoslib import exit as chaos_exit

from mcp_chaos.errors import UsageError
from mcp_chaos.run.current import current, was_refused

logger = logging.getLogger("chaostoolkit")

P = ParamSpec("P")
R = TypeVar("R")


def guarded(activity: Callable[P, R]) -> Callable[P, R]:
    """An activity that ends a ``chaos run`` without a run of ours, instead of failing unnoticed.

    It gives ``None`` where the run was refused.
    """

    @functools.wraps(activity)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            current()
        except UsageError as error:
            if was_refused():
                return cast(R, None)
            logger.error(str(error))
            # Only where Chaos Toolkit has its handler in place: elsewhere the signal would kill the process.
            if signal.getsignal(signal.SIGUSR1) is chaos_exit._leave_now:
                chaos_exit.exit_gracefully()
            raise
        return activity(*args, **kwargs)

    return inner
