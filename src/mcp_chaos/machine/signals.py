"""Signals that come at the wrong moment."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def aborted_by_signals() -> Iterator[None]:
    """Let SIGTERM, and the SIGHUP of a terminal that was closed, end the block as Ctrl-C does: with its clean-up.

    One that is ignored, as under nohup, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, _abort) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _abort(number: int, _: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


@contextmanager
def undisturbed() -> Iterator[list[int]]:
    """Let healing and taking down finish: a signal in the middle of it waits until they are done.

    It gives a list of those that wait, which grows meanwhile.
    """
    waiting: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield waiting
        return
    before = {
        number: signal.signal(number, lambda n, _: waiting.append(n))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield waiting
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if waiting:
        os.kill(os.getpid(), waiting[0])
