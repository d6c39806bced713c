"""A result counts as published when the broker has acknowledged it, and its dead letter before it; not sooner."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID, uuid4

import pytest

from langgraph_worker.deadletters import DeadLetterError
from langgraph_worker.kafka.port import SendError
from langgraph_worker.outbox import Outbox
from langgraph_worker.store.port import DeadLetter, Outbound
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
    """Producer and dead-letter topic, which refuse what they are told to."""

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
    await Outbox(results, broker, broker).flush()


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
    letter = DeadLetter(event(), origin(), "worker_lost", "it kills them")
    results, broker = Results(outbound(letter)), Broker()
    await flush(results, broker)
    assert broker.log == [("dead letters", letter.event.event_id), ("results", b"value")]


async def test_without_its_dead_letter_no_result_is_sent_nor_noted_and_the_worker_ends():
    letter = DeadLetter(event(), origin(), "worker_lost", "it kills them")
    results, broker = Results(outbound(letter)), Broker(buries=DeadLetterError("no"))
    with pytest.raises(DeadLetterError):
        await Outbox(results, broker, broker).run()
    assert (broker.log, results.noted) == ([], set())
