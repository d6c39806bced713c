"""What is done to a fleet during its soak: restarts, kills, pauses, replays of dead letters, and the daily prune."""

from __future__ import annotations

import contextlib
import io
import json
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from unittest.mock import patch
from uuid import UUID

from devtools.processes import wait_until
from langgraph_worker.cli.pause import NOT_CONFIRMED
from langgraph_worker.cli.prune import prune
from langgraph_worker.store.sql import retention, shared_spending
from tests.soak.load import Load, Sent
from tests.soak.parts import Parts
from tests.soak.plan import Plan
from tests.support.kafka import PARTITIONS
from tests.support.undecodable import write_undecodable

_LETTER_SECONDS = 60.0
_PAUSED_SECONDS = 3.0
PAUSED_GRAPH = "quick"


class Interference:
    """:param say: takes a line for people."""

    def __init__(self, plan: Plan, parts: Parts, load: Load, say: Callable[[str], None]) -> None:
        self._plan, self._parts, self._workers, self._load, self._say = plan, parts, parts.workers, load, say
        self._rng = random.Random(f"interference-{plan.seed}")
        self.counts: Counter[str] = Counter()
        self.cuts: list[float] = []
        """When a pause with --now cut nodes off."""
        self.troubles: list[str] = []

    def go_on_for(self, seconds: float, *, kills: bool) -> None:
        """Interfere for so long, in an order that is drawn: each kind once before any comes again.

        :param kills: a kill comes first, and often; else a restart.
        """
        end = time.monotonic() + seconds
        death = self._kill if kills else self._restart
        kinds = [death, self._restart, self._pause_fleet, self._pause_now, self._pause_graph]
        kinds += [self._replay, self._undecodable]
        waiting: list[Callable[[], None]] = [death]
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, self._plan.strike_seconds * self._rng.uniform(0.5, 1.0)))
            if not waiting:
                waiting = self._rng.sample(kinds, len(kinds))
            strike = waiting.pop()
            name = strike.__name__.strip("_").replace("_", " ")
            self.counts[name] += 1
            self._say(f"  {name}, with {len(self._load.unanswered())} requests open")
            strike()
            self._workers.revive()
            self._prune()  # so often that the store's size has no steps

    def _restart(self) -> None:
        self._workers.restart(self._rng.choice(self._plan.mortal))

    def _kill(self) -> None:
        number = self._rng.choice(self._plan.mortal)
        self._workers.kill([self._workers.process(number)])
        self._workers.start(number)
        self._workers.wait_ready()

    def _pause_fleet(self) -> None:
        self._pause()

    def _pause_now(self) -> None:
        self.cuts.append(time.time())
        self._pause("--now")

    def _pause_graph(self) -> None:
        self._pause("--graph", PAUSED_GRAPH)

    def _pause(self, *words: str) -> None:
        self.command("pause", *words, "--reason", "soak")
        time.sleep(_PAUSED_SECONDS)
        self.command("unpause", *(word for word in words if word != "--now"))

    def _undecodable(self) -> None:
        """It grows to more than the workers unpack; in a partition of its own, between requests."""
        kafka = self._parts.kafka
        write_undecodable(kafka, kafka.fleet.events, self._rng.randrange(PARTITIONS))
        self._load.counts["undecodable"] += 1

    def _replay(self) -> None:
        """A dead letter is sent again; nothing was mended, so that it is refused again."""
        refused = self._load.refusable()
        wait_until("a refusal", lambda: refused not in self._load.unanswered(), timeout=_LETTER_SECONDS)
        hours = f"{self._plan.keep_seconds / 3600:.3f}"
        answer = self.command("dlq", "replay", str(refused), "--deadline-hours", hours, "--json")
        for line in answer.splitlines():
            replayed = UUID(json.loads(line)["correlation_id"])
            self._load.expect(replayed, Sent("replay", "quick", {"error": "model_not_allowed"}))

    def command(self, *words: str) -> str:
        """Run a command of ``langgraph-worker``; its output.

        That a pause is not confirmed in time, on a busy machine, is no fault: it counts nevertheless.
        """
        done = self._workers.call(*words)
        if done.returncode not in (0, NOT_CONFIRMED):
            self.troubles.append(f"{' '.join(words)}: exit code {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def _prune(self) -> None:
        """``langgraph-worker prune``, without what would keep rows for longer than a soak: an hour after a run's
        deadline, and a week of what a DAG run has spent.
        """
        self.counts["prune"] += 1
        self._parts.store.tally()  # while what is about to leave is still there
        days = str(self._plan.keep_seconds / 86_400)
        flags = {"store_url": self._parts.url, "retention_days": days, "tombstone_days": days}
        with contextlib.ExitStack() as changed:
            changed.enter_context(patch.object(retention, "_GRACE", timedelta(0)))
            changed.enter_context(patch.object(shared_spending, "KEEP", timedelta(0)))
            changed.enter_context(contextlib.redirect_stdout(io.StringIO()))
            prune(flags)
