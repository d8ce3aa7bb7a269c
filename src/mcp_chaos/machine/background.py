"""What goes on in a thread beside a run until it is stopped."""

import threading
from abc import ABC, abstractmethod


class Background(ABC):
    """Work in a thread of its own.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name=name, daemon=True)

    def start(self) -> None:
        """Begin. May be repeated."""
        if self._thread.ident is None and not self._stopped.is_set():
            self._thread.start()

    def stop(self) -> None:
        """End it, after what is under way. May be repeated."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    @abstractmethod
    def _go_on(self) -> None:
        """Work until ``_stopped`` is set."""
