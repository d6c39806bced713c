"""A result counts as published when the broker has acknowledged it, and its dead letter before it; not sooner."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from langgraph_worker.broker.port import SendError
from langgraph_worker.domain.models import DeadLetter, Outbound
from langgraph_worker.errors import DeadLetterError
from langgraph_worker.publishing.outbox import Outbox
from langgraph_worker.publishing.republish_pace import RepublishPace
from tests.support.run_store import event, origin


class Results:
    """As the store hands them out."""

    def __init__(self, *results: Outbound) -> None:
        self.results = results
        self.noted: set[UUID] = set()

    async def unpublished(self, limit: int, skip: Collection[UUID] = frozenset()) -> list[Outbound]:
        return [one for one in self.results if one.correlation_id not in {*self.noted, *skip}][:limit]

    async def published(self, correlation_ids: Collection[UUID]) -> None:
        self.noted |= set(correlation_ids)


class Broker:
    """Producer and dead-letter topic, which refuse what the test says."""

    def __init__(self, *, sends: Exception | None = None, buries: Exception | None = None) -> None:
        self.sends, self.buries = sends, buries
        self.log: list[tuple[str, bytes | UUID]] = []

    async def send(self, topic: str, key: bytes, value: bytes, headers: object) -> None:
        if self.sends is not None:
            raise self.sends
        self.log.append((topic, value))

    async def write_request(self, letter: DeadLetter) -> None:
        if self.buries is not None:
            raise self.buries
        self.log.append(("dead letters", letter.event.event_id))


def outbound(letter: DeadLetter | None = None) -> Outbound:
    return Outbound(uuid4(), "results", b"key", b"value", [], letter)


async def flush(results: Results, broker: Broker) -> None:
    await Outbox(results, broker, broker, RepublishPace(1e6)).flush()


async def test_what_is_acknowledged_is_noted():
    results, broker = Results(outbound(), outbound()), Broker()
    await flush(results, broker)
    assert results.noted == {result.correlation_id for result in results.results}
    assert broker.log == [("results", b"value")] * 2


@pytest.mark.parametrize("retriable", [True, False])
async def test_what_is_not_acknowledged_stays(retriable):
    results = Results(outbound())
    await flush(results, Broker(sends=SendError("no", retriable=retriable)))
    assert results.noted == set()


async def test_a_dead_letter_is_written_before_its_result():
    letter = DeadLetter(event(), origin(), "worker_lost", "it kills them", 4)
    results, broker = Results(outbound(letter)), Broker()
    await flush(results, broker)
    assert broker.log == [("dead letters", letter.event.event_id), ("results", b"value")]


async def test_without_its_dead_letter_no_result_is_sent_nor_noted_and_the_worker_ends():
    letter = DeadLetter(event(), origin(), "worker_lost", "it kills them", 4)
    results, broker = Results(outbound(letter)), Broker(buries=DeadLetterError("no"))
    with pytest.raises(DeadLetterError):
        await Outbox(results, broker, broker, RepublishPace(1e6)).run()
    assert (broker.log, results.noted) == ([], set())


async def test_a_result_that_cannot_be_sent_costs_no_other_and_no_worker(caplog):
    class Chokes(Broker):
        async def send(self, topic: str, key: bytes, value: bytes, headers: object) -> None:
            if value == b"bad":
                raise ValueError("a header that is none")
            await super().send(topic, key, value, headers)

    bad, good = replace(outbound(), value=b"bad"), outbound()
    results, broker = Results(bad, good), Chokes()
    await flush(results, broker)
    assert results.noted == {good.correlation_id}
    assert "a result cannot be published: " in caplog.text
    assert f"(request {str(bad.correlation_id)[:8]})" in caplog.text


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def attempts(error: SendError, until: int) -> list[int]:
    """The seconds at which a result that is never acknowledged is sent."""
    clock, sent = Clock(), []

    class Refusing(Broker):
        async def send(self, topic: str, key: bytes, value: bytes, headers: object) -> None:
            sent.append(int(clock.seconds))
            raise error

    results, broker = Results(outbound()), Refusing()
    outbox = Outbox(results, broker, broker, RepublishPace(1e6, clock), clock)
    while clock.seconds < until:
        await outbox.flush()
        clock.seconds += 1
    return sent


async def test_pauses_of_one_result_double_to_half_a_minute():
    assert await attempts(SendError("away", retriable=True), 100) == [0, 1, 3, 7, 15, 31, 61, 91]


async def test_what_is_refused_is_tried_again_after_a_minute():
    assert await attempts(SendError("too large", retriable=False), 130) == [0, 60, 120]


class Paced:
    """An outbox whose results are asked for again."""

    def __init__(self, *results: Outbound, rate: float = 1e6) -> None:
        self.now = 100.0
        self.results, self.broker = Results(*results), Broker()
        self.outbox = Outbox(self.results, self.broker, self.broker, RepublishPace(rate, self.clock), self.clock)

    def clock(self) -> float:
        return self.now

    async def sent(self, after: float = 0.0, *, asked_again: bool = False) -> int:
        """How many results go out so much later."""
        self.now += after
        if asked_again:
            self.results.noted.clear()
        before = len(self.broker.log)
        await self.outbox.flush()
        return len(self.broker.log) - before


async def test_a_result_is_repeated_once_in_ten_seconds_and_the_last_request_is_answered():
    paced = Paced(replace(outbound(), is_repeat=True))
    assert await paced.sent() == 1
    assert [await paced.sent(3, asked_again=True) for _ in range(3)] == [0, 0, 0]
    assert await paced.sent(1.5) == 1
    assert await paced.sent(60) == 0
    assert await paced.sent(0, asked_again=True) == 1


async def test_repeats_have_a_rate_and_first_publications_have_none():
    repeats = [replace(outbound(), value=b"x" * 1_000, is_repeat=True) for _ in range(6)]
    paced = Paced(*repeats, *(outbound() for _ in range(100)), rate=1_000)
    assert await paced.sent() == 101
    assert [await paced.sent(1) for _ in range(6)] == [1, 1, 1, 1, 1, 0]
