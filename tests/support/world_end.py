"""The end of a history: with workers that live and people that answer, everybody who waits gets a reply."""

from __future__ import annotations

from collections.abc import Sequence

from tests.support.airflow_model import Asked
from tests.support.run_store import LEASE
from tests.support.store_world import World

_ROUNDS = 60
_BATCH = 20
WORKER = "the last"


def come_to_an_end(world: World) -> None:
    """Deliver what is published, run what waits, answer what is asked; then publish, until every waiter has its reply.

    :raises AssertionError: a task would wait for ever.
    """
    deliver_all(world)
    world.runs.clear()
    for _ in range(_ROUNDS):
        if not world.unfinished():
            break
        world.clock.advance(LEASE)
        world.claim(0, WORKER, 100)
        while world.runs:
            world.step(world.runs)
        world.look()
        _answer(world)
        world.expire(0)
    assert not world.unfinished(), f"never ends: {'; '.join(map(str, world.unfinished()))}"
    world.clock.advance(LEASE)  # what a store that is gone has not published, others publish
    for client in range(len(world.database.clients)):
        while world.publish(client, acknowledged=True):
            pass
    missed = world.judge.accepted.keys() - world.received.keys()
    assert not missed, f"no reply to {missed}"


def deliver_all(world: World) -> None:
    """Every record, key by key."""
    batch: list[Asked] = []
    for key in world.topic.waiting():
        while key in world.topic.waiting():
            batch.append(world.topic.take(key))
    for start in range(0, len(batch), _BATCH):
        world.accept(0, batch[start : start + _BATCH])


def _answer(world: World) -> None:
    """Answer the question that keeps other runs from a thread."""
    threads: Sequence[str] = sorted({row["thread_id"] for row in world.rows.values() if row["finished_at"] is None})
    for thread in threads:
        asked = {question.id: question.asked_by for question in world.questions.pending(thread)}
        waits = [row for row in world.rows.values() if row["finished_at"] is None and row["thread_id"] == thread]
        if asked and not any(row["round"] for row in waits):
            world.accept(
                0, [world.airflow.plain("", given=dict.fromkeys(asked, "at last"), to=next(iter(asked.values())))]
            )
