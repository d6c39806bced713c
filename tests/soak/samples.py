"""Measures, every few seconds: the memory, descriptors and threads of each process, and the rows of the store."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil

from tests.chaos.fleet import Life
from tests.soak.growth import SAMPLE_SECONDS

Series = list[tuple[float, float]]
"""Pairs of: requests that were answered by then, and the value."""

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class ProcessSeries:
    """Of one process. A worker has no children; those of graphs would be measured by themselves."""

    memory: Series
    descriptors: Series
    threads: Series


class Sampler(threading.Thread):
    """:param lives: the processes that run now.
    :param answered: how many requests are answered by now.
    :param rows: how many rows each table has.
    """

    def __init__(
        self,
        lives: Callable[[], list[Life]],
        answered: Callable[[], int],
        rows: Callable[[], Mapping[str, int]],
    ) -> None:
        super().__init__(name="sampler", daemon=True)
        self._lives, self._answered, self._rows = lives, answered, rows
        self._stop_asked = threading.Event()
        self.processes: dict[int, ProcessSeries] = {}
        """By process id; of a child of one: its own."""
        self.tables: dict[str, Series] = defaultdict(list)

    def run(self) -> None:
        while not self._stop_asked.wait(SAMPLE_SECONDS):
            self._sample()

    def stop(self) -> None:
        self._stop_asked.set()
        if self.ident is not None:
            self.join(30)

    def _sample(self) -> None:
        answered = self._answered()
        for life in self._lives():
            if not life.is_ready:
                continue
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(life.pid)
                for one in (process, *process.children(recursive=True)):
                    self._note(one, answered)
        for table, count in self._rows().items():
            self.tables[table].append((answered, count))

    def _note(self, process: psutil.Process, answered: int) -> None:
        series = self.processes.setdefault(process.pid, ProcessSeries([], [], []))
        with process.oneshot():
            series.memory.append((answered, process.memory_info().rss / _MIB))
            series.descriptors.append((answered, process.num_fds()))
            series.threads.append((answered, process.num_threads()))
