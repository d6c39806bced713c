"""A thread that owns a Kafka client: how the event loop starts it and waits for it, and how it reports to the loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any


class OwnedThread:
    """The thread, which starts once.

    :param name: the thread's name.
    :param work: runs in the thread. It returns when its owner closes it. An exception that it raises is reported to the
        event loop.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self._work = work
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._ready: asyncio.Future[None]
        self._ended: asyncio.Future[None]

    # ---- for the event loop ----

    @property
    def is_started(self) -> bool:
        """Whether :meth:`start` was called."""
        return self._thread.ident is not None

    def start(self) -> asyncio.Future[None]:
        """Start the thread. The future is done when the work has ended, with the exception that it raised."""
        self._loop = asyncio.get_running_loop()
        self._ready = self._loop.create_future()
        self._ended = self._loop.create_future()
        self._thread.start()
        return self._ended

    async def wait_ready(self) -> None:
        """Wait until the work reports that it is ready, or ends.

        :raises BaseException: what the work raised.
        """
        await asyncio.wait({self._ready, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        if self._ended.done():
            self._ended.result()

    async def join(self) -> None:
        """Wait until the thread has ended. What the work raised is not raised here."""
        await asyncio.wait({self._ended})
        self._thread.join()  # it has nothing left to do

    # ---- for the thread ----

    @property
    def is_ready(self) -> bool:
        """Whether the event loop knows that the work is ready."""
        return self._ready.done()

    def report_ready(self) -> None:
        """Let :meth:`wait_ready` return. Repeats change nothing."""
        self.call_soon(self._set_ready)

    def call_soon(self, callback: Callable[..., object], *arguments: object) -> None:
        """Call it in the event loop, and do not wait for it."""
        self._loop.call_soon_threadsafe(callback, *arguments)

    def run_in_loop(self, work: Coroutine[Any, Any, None]) -> concurrent.futures.Future[None]:
        """Run it in the event loop; the future is for the thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _main(self) -> None:
        problem: BaseException | None = None
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001  (reported to the loop, which ends the worker)
            problem = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.call_soon(self._set_ended, problem)

    def _set_ready(self) -> None:
        if not self._ready.done():
            self._ready.set_result(None)

    def _set_ended(self, problem: BaseException | None) -> None:
        if problem is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(problem)
