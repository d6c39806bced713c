"""Turns of models: one row for each half second of a model, given out under the lock of the model's row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, bindparam, case, delete, select, update

from langgraph_worker.domain.model_turns import (
    LONGEST_COOLING_SECONDS,
    GivenTurn,
    SlotCount,
    TurnRequest,
    TurnWindow,
    slot_at,
)
from langgraph_worker.domain.reply_encoding import clean
from langgraph_worker.store.migrations.schema import model_turns, models
from langgraph_worker.store.sql.statements import insert_missing, insert_or_replace

KEEP_IDLE = timedelta(days=1)
"""How long a model's rows stay after it was last asked for."""

_MODEL_CHARACTERS = 512
_give_back = (
    update(model_turns)
    .where(
        model_turns.c.model == bindparam("name"),
        model_turns.c.slot == bindparam("at"),
        model_turns.c.requests >= bindparam("number"),
    )
    .values(requests=model_turns.c.requests - bindparam("number"))
)


def take(connection: Connection, asked: TurnRequest, now: datetime) -> list[GivenTurn]:
    """See :meth:`~langgraph_worker.store.port.RunStore.take_turns`."""
    name = _name(asked.model)
    cool_until = _lock(connection, name, now)
    row = model_turns.c
    of_model = row.model == name
    counts = {
        found.slot: SlotCount(found.requests, found.answered, found.tokens)
        for found in connection.execute(select(model_turns).where(of_model))
    }
    cool = 0.0 if cool_until is None else cool_until.timestamp()
    window = TurnWindow(counts, asked.limit, now.timestamp(), cool)
    given = window.take(asked)
    if changed := window.changed:
        rows = [
            {"model": name, "slot": slot, "requests": c.requests, "answered": c.answered, "tokens": c.tokens}
            for slot, c in sorted(changed.items())
        ]
        connection.execute(insert_or_replace(connection, model_turns), rows)
    over = slot_at(now.timestamp()) - asked.limit.slots
    if any(slot <= over for slot in counts):
        connection.execute(delete(model_turns).where(of_model, row.slot <= over))
    return given


def give_back(connection: Connection, kept: Iterable[Mapping[str, Sequence[int]]], now: datetime) -> None:
    """Free the turns that runs kept and take no more, for other calls. One whose time has come may have been used.

    It locks models after all else.

    :param kept: by run, the slots of its turns by model.
    """
    first = slot_at(now.timestamp()) + 1
    places = ((_name(model), slot) for turns in kept for model, slots in turns.items() for slot in slots)
    numbers = Counter(place for place in places if place[1] >= first)
    if not numbers:
        return
    names = {name for name, _ in numbers}
    connection.execute(
        select(models.c.model).where(models.c.model.in_(names)).order_by(models.c.model).with_for_update()
    )
    connection.execute(
        _give_back, [{"name": name, "at": slot, "number": number} for (name, slot), number in sorted(numbers.items())]
    )


def cool(connection: Connection, model: str, seconds: float, now: datetime) -> None:
    """See :meth:`~langgraph_worker.store.port.RunStore.cool`."""
    name = _name(model)
    _lock(connection, name, now)
    until = now + timedelta(seconds=min(seconds, LONGEST_COOLING_SECONDS))
    kept = models.c.cool_until
    later = case((and_(kept.is_not(None), kept > until), kept), else_=until)
    connection.execute(update(models).where(models.c.model == name).values(cool_until=later))


def cooling(connection: Connection, now: datetime) -> dict[str, float]:
    """See :meth:`~langgraph_worker.store.port.RunStore.cooling`."""
    found = connection.execute(select(models.c.model, models.c.cool_until).where(models.c.cool_until > now))
    return {row.model: (row.cool_until - now).total_seconds() for row in found}


def forget(connection: Connection, now: datetime) -> None:
    """Remove what is kept of models that nobody has asked for in a day."""
    idle = select(models.c.model).where(models.c.updated_at < now - KEEP_IDLE).with_for_update(skip_locked=True)
    names = connection.execute(idle).scalars().all()
    if names:
        connection.execute(delete(model_turns).where(model_turns.c.model.in_(names)))
        connection.execute(delete(models).where(models.c.model.in_(names)))


def _lock(connection: Connection, name: str, now: datetime) -> datetime | None:
    """Lock a model's row; until when it takes no calls."""
    connection.execute(insert_missing(connection, models), [{"model": name, "updated_at": now}])
    mine = models.c.model == name
    row = connection.execute(select(models.c.cool_until, models.c.updated_at).where(mine).with_for_update()).one()
    if now - row.updated_at > KEEP_IDLE / 24:
        connection.execute(update(models).where(mine).values(updated_at=now))
    cool_until: datetime | None = row.cool_until
    return cool_until


def _name(model: str) -> str:
    return clean(model)[:_MODEL_CHARACTERS]
