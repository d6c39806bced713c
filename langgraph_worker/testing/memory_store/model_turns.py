"""Turns of models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from langgraph_worker.domain.model_turns import (
    LONGEST_COOLING_SECONDS,
    GivenTurn,
    SlotCount,
    TurnRequest,
    TurnWindow,
    slot_at,
)
from langgraph_worker.domain.reply_encoding import clean
from langgraph_worker.testing.memory_store.state import KnownModel, Transaction

KEEP_IDLE = timedelta(days=1)


def take(tx: Transaction, asked: TurnRequest) -> list[GivenTurn]:
    """See the port."""
    name = clean(asked.model)[:512]
    model = _model(tx, name)
    cool = 0.0 if model.cool_until is None else model.cool_until.timestamp()
    window = TurnWindow(model.turns, asked.limit, tx.now.timestamp(), cool)
    given = window.take(asked)
    over = slot_at(tx.now.timestamp()) - asked.limit.slots
    turns = {slot: count for slot, count in {**model.turns, **window.changed}.items() if slot > over}
    tx.state.models[name] = replace(model, turns=turns)
    return given


def give_back(tx: Transaction, kept: Mapping[str, Sequence[int]]) -> None:
    """Free turns that lie ahead."""
    for model, slots in kept.items():
        known = _model(tx, clean(model)[:512])
        ahead = Counter(slot for slot in slots if slot > slot_at(tx.now.timestamp()))
        fewer = {slot: known.turns[slot] + SlotCount(-number) for slot, number in ahead.items() if slot in known.turns}
        tx.state.models[clean(model)[:512]] = replace(known, turns={**known.turns, **fewer})


def cool(tx: Transaction, model: str, seconds: float) -> None:
    """See the port."""
    name = clean(model)[:512]
    known = _model(tx, name)
    until = tx.now + timedelta(seconds=min(seconds, LONGEST_COOLING_SECONDS))
    tx.state.models[name] = replace(known, cool_until=max(until, known.cool_until or until))


def cooling(tx: Transaction) -> dict[str, float]:
    """See the port."""
    until = {name: model.cool_until for name, model in tx.state.models.items() if model.cool_until is not None}
    return {name: (end - tx.now).total_seconds() for name, end in until.items() if end > tx.now}


def forget(tx: Transaction) -> None:
    """Remove what nobody has asked for in a day."""
    before = tx.now - KEEP_IDLE
    tx.state.models = {name: model for name, model in tx.state.models.items() if model.updated_at >= before}


def _model(tx: Transaction, name: str) -> KnownModel:
    known = tx.state.models.get(name, KnownModel({}, None, tx.now))
    if tx.now - known.updated_at > KEEP_IDLE / 24:
        known = replace(known, updated_at=tx.now)
    return known
