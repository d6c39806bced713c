"""How Kafka cuts requests into batches must not matter."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from langgraph_worker.domain.models import Decision, Request
from langgraph_worker.store.migrations.schema import lineages, tasks, workflow_runs
from tests.support.run_store import START, Backend, Clock, Store, attempt, event, request, result
from tests.support.ti_ids import ti_id
from workflow_events.results import ResultStatus

Arrival = tuple[int, dict[str, Any], dict[str, Any]]

arrivals = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.fixed_dictionaries(
            {
                "agent": st.sampled_from(["a", "b"]),
                "max_tries": st.sampled_from([3, 4]),
                "run_start": st.sampled_from([START, START + timedelta(hours=1)]),
                "on_clear": st.sampled_from(["restart", "resume"]),
                "at": st.integers(1, 8),
            }
        ),
        st.fixed_dictionaries(
            {"data": st.sampled_from([{"ask": 1}, {"ask": 2}]), "thread_id": st.sampled_from([None, "talk"])}
        ),
    ),
    max_size=6,
)
_examples = count()


def requests(example: int, drawn: list[Arrival]) -> list[Request]:
    """Requests of one task and one graph, which no other example has."""
    made = []
    for number, who, what in drawn:
        own = {key: value for key, value in who.items() if key != "at"}
        another_try_another_id = ti_id(10 * who["at"] + number, example)
        of = attempt(number, task=task_of(example), id=another_try_another_id, **own)
        made.append(request(event(of, **what), graph=f"graph-{example}"))
    return made


def task_of(example: int) -> str:
    return f"{example:064d}"


async def run_history(store: Store, asked: list[Request], statuses: list[ResultStatus]) -> None:
    for one, status in zip(asked, statuses, strict=False):
        await store.accept([one])
        for claim in await store.claim("w1", 100, [one.graph]):
            await store.finish(claim, result(claim, status))


def state(backend: Backend, task: str) -> list[list[dict[str, Any]]]:
    """What is stored of one task, but for its place among others, and how often it was asked for before it could be
    published: between two requests of one batch nothing can be.
    """
    own = {"seq", "publish_asked", "publisher"}
    return [
        [{k: v for k, v in row.items() if k not in own} for row in backend.rows(table, task=task)]
        for table in (workflow_runs, tasks, lineages)
    ]


@pytest.mark.timeout(60)
def test_one_batch_or_many_give_the_same(tmp_path: Path) -> None:
    whole = Backend(f"sqlite:///{tmp_path}/whole.db", Clock(), shared=False)
    single = Backend(f"sqlite:///{tmp_path}/single.db", Clock(), shared=False)

    async def compare(
        stores: list[Store], before: list[Arrival], statuses: list[ResultStatus], drawn: list[Arrival]
    ) -> None:
        number = next(_examples)
        task, history, batch = task_of(number), requests(number, before), requests(number, drawn)
        for store in stores:
            await run_history(store, history, statuses)
        at_once = await stores[0].accept(batch)
        one_by_one = [accepted for one in batch for accepted in await stores[1].accept([one])]
        assert at_once == one_by_one
        assert state(whole, task) == state(single, task)
        unfinished = [row for row in state(whole, task)[0] if row["finished_at"] is None]
        assert len({row["attempt_id"] for row in unfinished}) <= 1  # the newest attempt rules
        assert all(one.decision is not Decision.REFUSED for one in at_once)

    with asyncio.Runner() as runner:
        stores = [runner.run(whole.open()), runner.run(single.open())]

        # Not shrunk: with two databases that would take minutes.
        @settings(max_examples=20, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
        @given(arrivals, st.lists(st.sampled_from(list(ResultStatus)), min_size=6, max_size=6), arrivals)
        def check(before: list[Arrival], statuses: list[ResultStatus], drawn: list[Arrival]) -> None:
            runner.run(compare(stores, before, statuses, drawn))

        try:
            check()
        finally:
            runner.run(whole.close())
            runner.run(single.close())
