"""The worker as a process: its event loop, its threads, its signals, its exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Coroutine
from types import FrameType
from typing import Any, NoReturn

from langgraph_worker.broker.kafka import events_lag, topic_ids
from langgraph_worker.broker.kafka.control import ControlReader
from langgraph_worker.broker.kafka.events import EventConsumer
from langgraph_worker.execution import lease_keeper, node_threads
from langgraph_worker.execution.node_threads import NodeThreads
from langgraph_worker.graphs.loader import Graphs
from langgraph_worker.runtime.worker import Worker
from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.store.engines import database
from langgraph_worker.telemetry.traces.port import FLUSH_THREAD

logger = logging.getLogger(__name__)

_LAST_THREADS_SECONDS = 0.5  # for threads to end
_CANCELLED = 130  # as a shell says of a process that Ctrl-C has ended

OnSignal = Callable[[Callable[[], object]], None]
"""Takes what the first signal calls."""


def serve(settings: WorkerSettings, graphs: Graphs) -> int:
    """Run a worker until SIGTERM or SIGINT; a second one ends the process at once.

    :raises WorkerError: it cannot start.
    """
    # What was imported stays: the collector would look through all of it while a large event is decoded.
    gc.collect()
    gc.freeze()

    async def main(nodes: NodeThreads, on_signal: OnSignal) -> int:
        worker = Worker(settings, graphs, nodes)
        on_signal(worker.stop)
        return await worker.run()

    return _run_main(settings.node_threads, main)


def run_loop(node_threads: int, work: Callable[[NodeThreads], Coroutine[Any, Any, int]]) -> int:
    """Run ``work`` in an event loop with threads for nodes. The first signal cancels it, a second one ends the process.

    :returns: what ``work`` returns; 130 if a signal has cancelled it.
    """

    async def main(nodes: NodeThreads, on_signal: OnSignal) -> int:
        task = asyncio.ensure_future(work(nodes))
        on_signal(task.cancel)
        await asyncio.wait({task})
        return _CANCELLED if task.cancelled() else task.result()

    return _run_main(node_threads, main)


def _run_main(node_threads: int, work: Callable[[NodeThreads, OnSignal], Coroutine[Any, Any, int]]) -> int:
    others = frozenset(threading.enumerate())
    nodes = NodeThreads(node_threads)
    loop = asyncio.new_event_loop()
    loop.set_default_executor(nodes)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def on_signal(stop: Callable[[], object]) -> None:
        for number in before:
            signal.signal(number, _handler(loop, stop))

    try:
        code = _run_through(loop, loop.create_task(work(nodes, on_signal)))
        nodes.shutdown(wait=False, cancel_futures=True)
        if _still_busy(others, _LAST_THREADS_SECONDS) or asyncio.all_tasks(loop):
            logger.warning("something is still running; it ends with the process", extra={"action": "stopping"})
            _leave_at_once(code)
        return code
    finally:
        loop.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def _run_through(loop: asyncio.AbstractEventLoop, task: asyncio.Task[int]) -> int:
    """Run a task to its end.

    A node that calls ``sys.exit()`` breaks out of the loop. The loop then goes on: the exception also stands on the
    node's own task, and becomes its run's result.
    """
    while True:
        try:
            return loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt) as error:
            if task.done():
                raise
            logger.error("a graph raised %s; its run fails", type(error).__name__, extra={"action": "failed"})


def _still_busy(others: Collection[threading.Thread], seconds: float) -> bool:
    """Whether a thread outlives its work: a synchronous node, a consumer that cannot reach its group to leave it, or a
    call to a database that does not answer.

    :param others: threads that were there before.

    No thread can be stopped: an orderly exit would wait for some, and crash others.
    """
    end = time.monotonic() + seconds
    names = (
        node_threads.THREAD,
        EventConsumer.THREAD,
        ControlReader.THREAD,
        database.THREAD,
        lease_keeper.THREAD,
        topic_ids.THREAD,
        events_lag.THREAD,
        FLUSH_THREAD,
    )
    found = [thread for thread in threading.enumerate() if thread not in others]
    ours = [thread for thread in found if thread.name.startswith(names)]
    for thread in ours:
        thread.join(max(0.0, end - time.monotonic()))
    return any(thread.is_alive() for thread in ours)


def _handler(loop: asyncio.AbstractEventLoop, stop: Callable[[], object]) -> Callable[[int, FrameType | None], None]:
    is_stopping = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal is_stopping
        del frame
        if is_stopping:
            _leave_at_once(128 + number)
        is_stopping = True
        loop.call_soon_threadsafe(stop)

    return handle


def _leave_at_once(code: int) -> NoReturn:
    logging.shutdown()
    os._exit(code)
