"""How a task learns that Airflow has ended it."""

from __future__ import annotations

from collections.abc import Callable


class KillSignal:
    """Set once, by Airflow's ``on_kill``, while another part of the task goes on. Safe in a signal handler.

    :ivar is_set: whether Airflow has ended the task.
    """

    def __init__(self) -> None:
        self.is_set = False
        self._stops: list[Callable[[], None]] = []

    def stop_with(self, stop: Callable[[], None]) -> None:
        """Call this once the signal is set; at once if it is set already. It may be called twice."""
        self._stops.append(stop)
        if self.is_set:
            stop()

    def set(self) -> None:
        """Set the signal, and stop what has to stop with it."""
        self.is_set = True
        for stop in self._stops:
            stop()
