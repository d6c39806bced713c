"""What a call of a model waits for before it is sent: written once, for calls that await and for calls that block.

A *wait* is a generator. It yields a future, and gets its result or exception; or it yields seconds, after which it is
asked again. An asynchronous call waits in the event loop that makes it, and holds no thread; a synchronous one blocks
its own thread. Neither needs a thread beside.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

from langgraph_worker.errors import StoreError
from langgraph_worker.store.retrying import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, StoreTrouble
from workflow_events.backoff import Backoff

_T = TypeVar("_T")
Wait = Generator["Future[Any] | float", Any, _T]

_LOOK_SECONDS = 0.2  # of a thread: whether its run is over


class CallStoppedError(BaseException):
    """A model is not called: its run stops, and goes on later or elsewhere.

    Not an Exception: a node that handles the errors of its model has nothing to handle here.
    """


def retry_store_in_wait(call: Callable[[], Future[_T]], what: str) -> Wait[_T]:
    """As :func:`~langgraph_worker.store.retrying.retry_store`, within a wait.

    :raises StoreError: an error that does not pass by itself.
    """
    backoff, trouble = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS), StoreTrouble(what)
    while True:
        try:
            found: _T = yield call()
        except StoreError as error:
            trouble.note(error)
        else:
            trouble.over()
            return found
        yield backoff.next_seconds()


async def wait_in_loop(wait: Wait[_T]) -> _T:
    """Wait without blocking the loop. A cancellation ends the wait."""
    try:
        wanted = next(wait)
        while True:
            try:
                found: Any = None
                if isinstance(wanted, Future):
                    found = await asyncio.wrap_future(wanted)
                else:
                    await asyncio.sleep(wanted)
            except Exception as error:  # noqa: BLE001 - the wait decides
                wanted = wait.throw(error)
            else:
                wanted = wait.send(found)
    except StopIteration as end:
        result: _T = end.value
        return result
    finally:
        wait.close()


def wait_in_thread(wait: Wait[_T], over: threading.Event) -> _T:
    """Wait in this thread.

    :param over: once it is set, the wait ends.
    :raises CallStoppedError: it is set.
    """
    try:
        wanted = next(wait)
        while True:
            try:
                found: Any = None
                if isinstance(wanted, Future):
                    found = _result(wanted, over)
                else:
                    _sleep(wanted, over)
            except Exception as error:  # noqa: BLE001 - the wait decides
                wanted = wait.throw(error)
            else:
                wanted = wait.send(found)
    except StopIteration as end:
        result: _T = end.value
        return result
    finally:
        wait.close()


def _result(future: Future[Any], over: threading.Event) -> Any:
    while True:
        try:
            return future.result(_LOOK_SECONDS)
        except FutureTimeoutError:
            if future.done():
                return future.result()
            _require_not(over)


def _sleep(seconds: float, over: threading.Event) -> None:
    over.wait(seconds)
    _require_not(over)


def _require_not(over: threading.Event) -> None:
    if over.is_set():
        raise CallStoppedError("the run is over")
