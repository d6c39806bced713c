"""How many checkpoints a thread keeps: the worker's setting, less if its graph's entry or the event says so."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.checkpoints.test_checkpoints_growth import KEPT, checkpoints, talk
from tests.support.checkpoints import Shelf
from tests.support.run_store import claim_one, event, request, result
from workflow_events.models import RunConfig


async def most(shelf: Shelf, store: Any, asked: int | None, turns: int = 9) -> int:
    """The most checkpoints that the end of a run leaves."""
    found = []
    for number in range(turns):
        await store.accept([request(event(thread_id="talk", config=RunConfig(keep_checkpoints=asked)))])
        claim = await claim_one(store)
        await shelf.beside(store).on(claim, talk()).run({"value": number})
        assert await store.finish(claim, result(claim))
        found.append(sum(map(len, checkpoints(shelf).values())))
    return max(found)


@pytest.mark.parametrize(("asked", "kept"), [(2, 2), (100, KEPT), (None, KEPT)])
async def test_an_event_may_lower_the_number(trimmed: Shelf, asked: int | None, kept: int) -> None:
    found = await most(trimmed, trimmed.store, asked)
    assert kept < found <= 2 * kept


@pytest.mark.parametrize(("graph", "asked", "kept"), [(3, None, 3), (3, 2, 2), (2, 100, 2), (100, None, KEPT)])
async def test_the_entry_of_a_graph_may_lower_it_too(trimmed: Shelf, graph: int, asked: int | None, kept: int) -> None:
    await trimmed.store.close()
    store = await trimmed.backend.open(keep_checkpoints=KEPT, keep_of_graphs={"graph": graph, "other": 1})
    found = await most(trimmed, store, asked)
    assert kept < found <= 2 * kept
