"""Whatever happens to a results topic and to the triggerer that reads it: each waiter gets its own reply, once.

A state machine that publishes, registers, restarts, repeats, forgets, deletes and asks again in any order, on a log in
memory, and sampled on a real Kafka. The listener's bookkeeping is driven by hand, so every order of its steps, of a
read back's and of everybody else's can be drawn. ``STATE_MACHINE_EXAMPLES`` runs more of it.
"""

from __future__ import annotations

import itertools
import sys
import uuid

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.support.kafka import KafkaTopics
from tests.support.logs import KafkaLog, MemoryLog
from tests.support.machines import run, time_limit
from tests.support.waiting_world import WaitingWorld, make_small

MOST_REQUESTS = 30

index = st.integers(0, 1_000)
partitions = st.integers(0, 5)

FAULTS = ("retention", "recreate", "restart", "broker", "noise", "grow", "undecodable")
MIXES = [mix for count in (1, 2, 3) for mix in itertools.combinations(FAULTS, count)]
"""Each example has some faults, and not all: what one of them mends, another one would have shown."""


def may(fault):
    return precondition(lambda self: fault in self.faults)


class WaitingMachine(RuleBasedStateMachine):
    """A topic in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.faults = ()
        self.world = WaitingWorld(self.new_log())

    def new_log(self):
        return MemoryLog()

    def _pick(self, number, wanted):
        found = [request for request in self.world.requests if wanted(request)]
        return found[number % len(found)] if found else None

    @initialize(faults=st.sampled_from(MIXES))
    def choose(self, faults):
        self.faults = faults

    # ---- tasks ----

    @rule(count=st.integers(1, 6), waits=st.sampled_from([True, True, False]))
    def publish(self, count, waits):
        if self._is_away():
            return
        for _ in range(count):
            if len(self.world.requests) < MOST_REQUESTS:
                request = self.world.publish()
                if waits:
                    self.world.wait(request)

    @rule(numbers=st.lists(index, min_size=1, max_size=4))
    def register(self, numbers):
        """Also one that has been served before: its trigger was started a second time."""
        for number in numbers:
            request = self._pick(number, lambda one: not one.waits)
            if request:
                self.world.wait(request)

    @rule(number=index)
    def register_twice(self, number):
        request = self._pick(number, lambda one: one.waits)
        if request:
            self.world.wait_again(request)

    @rule(number=index)
    def look(self, number):
        request = self._pick(number, lambda one: one.waits)
        if request:
            self.world.look(request)

    @rule(number=index)
    def leave(self, number):
        request = self._pick(number, lambda one: one.waits)
        if request:
            self.world.leave(request)

    # ---- agents, and others who write ----

    @rule(numbers=st.lists(index, min_size=1, max_size=6), partition=partitions, size=st.sampled_from([10, 10, 3_000]))
    def answer(self, numbers, partition, size):
        self.answer_some(numbers, partition, size)

    def answer_some(self, numbers, partition, size):
        for number in numbers:
            request = self._pick(number, lambda one: one.answer is None)
            if request:
                self.world.answer(request, partition + number, size)

    @rule(number=index, partition=partitions)
    def repeat(self, number, partition):
        request = self._pick(number, lambda one: one.answer is not None)
        if request:
            self.world.answer(request, partition)

    @may("noise")
    @rule(partition=partitions, count=st.sampled_from([1, 3, 12, 30]))
    def foreign(self, partition, count):
        for number in range(count):
            self.world.write_foreign(partition + number, number)

    @may("noise")
    @rule(partition=partitions, kind=index)
    def garbage(self, partition, kind):
        self.world.write_garbage(partition, kind)

    @rule(lost=st.booleans())
    def workers_read_queries(self, lost):
        self.world.answer_queries(lost)

    # ---- the topic ----

    @may("retention")
    @rule(numbers=st.lists(index, min_size=1, max_size=3), kept=st.sampled_from([0, 0, 1, 3]))
    def retention(self, numbers, kept):
        """It may come before any reader has read what was just written."""
        self.answer_some(numbers, 0, 10)
        for number, end in self.world.log.ends().offsets.items():
            if end > kept:
                self.world.log.retain(number, end - kept)

    @may("undecodable")
    @rule(numbers=st.lists(index, min_size=1, max_size=3), partition=partitions, more=st.sampled_from([0, 0, 2, 7]))
    def undecodable(self, numbers, partition, more):
        """On Kafka a batch takes long to be passed: the contract has it."""
        for number in numbers if isinstance(self.world.log, MemoryLog) else ():
            request = self._pick(number, lambda one: one.answer is None)
            if request:
                self.world.answer_undecodably(request, partition + number, more)

    @precondition(lambda self: "grow" in self.faults and len(self.world.log.ends().offsets) < 6)
    @rule()
    def grow(self):
        self.world.log.grow()

    @may("recreate")
    @rule(numbers=st.lists(index, min_size=1, max_size=3), fill=st.sampled_from([0, 0, 9]))
    def recreate(self, numbers, fill):
        """The new topic may have grown past the old one's end before any reader looks."""
        self.world.log.recreate()
        self.answer_some(numbers, 0, 10)
        for number in range(fill * len(self.world.log.ends().offsets)):
            self.world.write_foreign(number, number)

    @precondition(lambda self: "broker" in self.faults and isinstance(self.world.log, MemoryLog))
    @rule(away=st.booleans())
    def broker(self, away):
        self.world.log.is_away = away

    # ---- the triggerer ----

    @rule(times=st.integers(1, 6))
    def step(self, times):
        for _ in range(times):
            self.world.step()

    @rule(times=st.integers(1, 4))
    def read_back(self, times):
        for _ in range(times):
            self.world.step_catch_up()

    @rule(seconds=st.sampled_from([0.1, 1.0, 11.0, 700.0]))
    def time_passes(self, seconds):
        self.world.now += seconds

    @may("restart")
    @rule()
    def restart(self):
        if not self._is_away():
            self.world.restart()

    def teardown(self):
        # Not behind a failure, which is what is to be seen; nor where Hypothesis gave the example up.
        if sys.exc_info()[0] is None:
            self.world.settle()

    def _is_away(self):
        return getattr(self.world.log, "is_away", False)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    make_small(monkeypatch)


@pytest.mark.timeout(time_limit(60))
def test_in_memory():
    run(WaitingMachine, examples=300, steps=60)


@pytest.mark.integration
@pytest.mark.timeout(time_limit(120))
def test_on_kafka(broker):
    prefix = f"t{uuid.uuid4().hex[:10]}"
    topics = KafkaTopics(broker, prefix)
    topics.client = {**topics.client, "fetch.wait.max.ms": "20"}

    class OnKafka(WaitingMachine):
        def new_log(self):
            return KafkaLog(topics)

        def teardown(self):
            try:
                super().teardown()
            finally:
                self.world.reader.close()
                self.world.log.close()

    run(OnKafka, examples=4, steps=25)
    topics.close()
