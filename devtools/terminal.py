"""The output of a long command for a person at a terminal, and how the person stops it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

HEARTBEAT_SECONDS = 10.0

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """A signal asked this program to stop. Like KeyboardInterrupt, it passes ``except Exception``."""

    def __init__(self, number: int) -> None:
        self.number = signal.Signals(number)
        super().__init__(self.number.name)


@contextmanager
def signals_raise() -> Iterator[None]:
    """Let the first SIGINT, SIGTERM or SIGHUP raise :class:`Stopped` in the main thread.

    Later signals do nothing: the cleanup after the first takes seconds, and must not be interrupted.
    """

    def stop(number: int, _: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    # Under nohup SIGHUP is ignored, and must stay so.
    heeded = [each for each in _SIGNALS if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Progress:
    """Prints lines with the seconds since the start, and a sign of life when nothing was printed for 10 s."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._said = threading.Event()
        self._lock = threading.Lock()
        self._awaited: str | None = None
        self._ended = False
        self._pulse = threading.Thread(target=self._beat, daemon=True)

    def say(self, text: str) -> None:
        """Print a line."""
        self._said.set()
        with self._lock:
            print(f"{time.monotonic() - self._started:6.1f} s  {text}", flush=True)

    def begin(self, text: str, *, until: str) -> None:
        """Print a line about something that takes a while, and set what signs of life name meanwhile."""
        self.until(until)
        self.say(text)

    def until(self, awaited: str | None) -> None:
        """Set what signs of life name. None: print none."""
        self._awaited = awaited

    def __enter__(self) -> Self:
        self._pulse.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended = True
        self._said.set()
        self._pulse.join()

    def _beat(self) -> None:
        while not self._ended:
            if self._said.wait(HEARTBEAT_SECONDS):
                self._said.clear()
            elif self._awaited is not None:
                self.say(f"… still waiting for {self._awaited}")
