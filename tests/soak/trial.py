"""The whole soak: load and interfere, come to rest, compare, and tell."""

from __future__ import annotations

import functools
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from devtools.errors import NotReadyError
from devtools.processes import wait_until
from tests.chaos.ledger import read_ledgers
from tests.soak.figure_checks import Found, Still, differ, disagreements
from tests.soak.interference import PAUSED_GRAPH, Interference
from tests.soak.load import Load
from tests.soak.outcome import Soaked, faults, story
from tests.soak.parts import Parts
from tests.soak.plan import Plan
from tests.soak.samples import Sampler

REST_SECONDS = 180.0
"""Within which all that was sent is answered and published, once nothing new comes."""
LOOK_SECONDS = 30.0
"""Within which every worker has looked at the store again: it does every five seconds."""
HELD = {"desk": 6, PAUSED_GRAPH: 9}
"""Requests of the busy moment: of the first graph, as many run and are held; those of the other wait behind a pause."""


def print_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def soak(plan: Plan, folder: Path, say: Callable[[str], None] = print_line) -> Sequence[str]:
    """What is wrong, a line each, after it was told.

    :param folder: see :class:`~tests.soak.parts.Parts`, also for what is raised.
    :param say: takes a line for people.
    """
    say(
        f"soak: seed {plan.seed}, {plan.seconds / 60:.1f} minutes, {plan.per_second:g} requests a second, "
        f"{plan.workers} worker(s) on {plan.store}"
    )
    with ExitStack() as stack:
        soaked = _Soak(plan, folder, say, stack).run()
    wrong = list(faults(soaked))
    for line in story(soaked):
        say(line)
    for line in wrong:
        say(f"WRONG: {line}")
    say(f"soak: seed {plan.seed}: {f'{len(wrong)} things are wrong' if wrong else 'all is as it should be'}")
    return wrong


class _Soak:
    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None], stack: ExitStack) -> None:
        self._plan, self._say = plan, say
        self._parts = parts = Parts(plan, folder, stack)
        say(parts.description)
        self._load = Load(plan, parts.kafka, parts.listener, parts.files, parts.model.url)
        stack.callback(self._load.stop)
        answered = functools.partial(len, parts.listener.answered)
        self._sampler = Sampler(parts.workers.running, answered, parts.store.sizes)
        stack.callback(self._sampler.stop)
        self._interference = Interference(plan, parts, self._load, say)
        self._troubles: list[str] = []

    def run(self) -> Soaked:
        """Both parts, and what there is to judge."""
        plan, began = self._plan, time.monotonic()
        self._load.start()
        self._sampler.start()
        self._load.go_on()
        self._interference.go_on_for(plan.kill_seconds, kills=True)
        self._come_to_rest("the first part, with kills, is over")
        found = self._second_part(plan.seconds - plan.kill_seconds)
        parts = self._parts
        return Soaked(
            plan=plan,
            seconds=time.monotonic() - began,
            load=self._load,
            listener=parts.listener,
            interference=self._interference,
            sampler=self._sampler,
            workers=parts.workers,
            store=parts.store.tally(),
            left=parts.store.sizes()["workflow_runs"],
            unpublished=parts.store.unpublished(),
            executions=read_ledgers(parts.workers.ledgers),
            troubles=self._troubles,
            figures=[*disagreements(found)],
            spans=len(parts.spans.spans),
        )

    def _second_part(self, seconds: float) -> Found:
        """Load without kills, then a busy moment, then the end of all workers; what is to be compared."""
        parts, workers = self._parts, self._parts.workers
        before, lives, lived = parts.store.tally(), workers.running(), len(workers.lives)
        first_pages = {life.pid: parts.page_of(life) for life in lives}
        published, letters, copies = parts.published(), len(parts.letters()), self._load.counts["copy"]
        self._load.go_on()
        self._interference.go_on_for(seconds, kills=False)
        self._come_to_rest("the second part is over")
        busy = self._busy_moment()
        self._come_to_rest("what was held has ended")
        self._load.stop()
        self._sampler.stop()
        end = self._still({}, {}, paused=0)
        workers.deaths += [f"exit code {code} after SIGTERM" for code in workers.stop() if code]
        return Found(
            [*parts.last_pages([*lives, *workers.lives[lived:]], first_pages)],
            parts.store.tally().since(before),
            Counter(parts.letters()[letters:]),
            parts.published() - published,
            self._load.counts["copy"] - copies,
            [busy, end],
        )

    def _come_to_rest(self, what: str) -> None:
        self._load.hold()
        store = self._parts.store
        self._wait("every answer", lambda: self._load.is_settled)
        # A repeated request, for whose second answer nothing waits, may still be on its way.
        self._wait("the fleet to have taken all in", lambda: not self._parts.lag())
        self._wait("the store to have no work", lambda: not store.unfinished())
        self._wait("an empty outbox", lambda: not store.unpublished())
        self._say(f"{what}: {len(self._parts.listener.answered):,} requests are answered")

    def _wait(self, what: str, check: Callable[[], bool]) -> None:
        """What does not come is wrong, and the soak goes on: the judges say more of it."""
        try:
            wait_until(what, check, timeout=REST_SECONDS)
        except NotReadyError as error:
            self._troubles.append(str(error))

    def _busy_moment(self) -> Still:
        """Some runs are held, others wait: so that gauges have something to show."""
        self._interference.command("pause", "--graph", PAUSED_GRAPH, "--reason", "soak")
        with self._parts.workers.holding():
            for graph, count in HELD.items():
                self._load.send_some(graph, count)
            still = self._still({PAUSED_GRAPH: HELD[PAUSED_GRAPH]}, {"desk": HELD["desk"]}, paused=1)
        self._interference.command("unpause", "--graph", PAUSED_GRAPH)
        return still

    def _still(self, waiting: Mapping[str, int], running: Mapping[str, int], paused: int) -> Still:
        """The figures, once the store holds just that, and every worker has had time to look."""
        parts, store = self._parts, self._parts.store

        def is_there() -> bool:
            found = store.under_way()
            rests = store.paused() == paused and not store.unpublished() and not parts.lag()
            return rests and found["PENDING"] == Counter(waiting) and found["RUNNING"] == Counter(running)

        self._wait(f"the store to hold {dict(waiting)}, {dict(running)} and nothing else", is_there)
        end = time.monotonic() + LOOK_SECONDS
        while True:
            still = Still(waiting, running, 0, paused, 0, parts.pages())
            if time.monotonic() > end or not differ(still):
                return still
            time.sleep(0.5)
