"""The threads that own a Kafka client: only its thread may touch a client, and no other part waits for the thread."""

from __future__ import annotations

import threading


class OwnedThread(threading.Thread):
    """A daemon thread that is asked to end and never waited for.

    :param name: what it does, for lists of threads.
    :ivar stop_asked: set once it is to end.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=f"langgraph-{name}", daemon=True)
        self.stop_asked = threading.Event()

    def stop(self) -> None:
        """Ask the thread to end; does not wait for it."""
        self.stop_asked.set()
