"""A conversation's checkpoints: the newest stay, and what a run may still need; the rest goes when a run ends."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import pytest
from langgraph.channels import DeltaChannel
from langgraph.types import Command, interrupt
from sqlalchemy import create_engine, text

from langgraph_worker.domain.models import Cancel, Claim
from tests.support.checkpoints import Shelf, put, put_config
from tests.support.run_store import WEEK, claim_one, driver_url, event, request, result
from tests.support.runs import Failing, State, chain
from workflow_events.results import ResultStatus

KEPT = 5  # as the fixture has it

# A checkpoint or write of nothing that is there, a blob that nothing uses, and one that is missed.
_LEFT_OVER = {
    "sqlite": [
        "SELECT * FROM writes WHERE (checkpoint_ns, checkpoint_id) NOT IN (SELECT checkpoint_ns, checkpoint_id "
        "FROM checkpoints)",
    ],
    "postgresql": [
        "SELECT * FROM checkpoint_writes WHERE (checkpoint_ns, checkpoint_id) NOT IN (SELECT checkpoint_ns, "
        "checkpoint_id FROM checkpoints)",
        "SELECT * FROM checkpoint_blobs b WHERE NOT EXISTS (SELECT FROM checkpoints c WHERE c.thread_id = b.thread_id "
        "AND c.checkpoint_ns = b.checkpoint_ns AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version)",
    ],
}


def query(shelf: Shelf, sql: str) -> list[Any]:
    engine = create_engine(driver_url(shelf.backend.url))
    try:
        with engine.connect() as connection:
            return list(connection.execute(text(sql)))
    finally:
        engine.dispose()


def checkpoints(shelf: Shelf, thread: str | None = None) -> dict[str, list[str]]:
    """The ids of the checkpoints of each namespace, the oldest first."""
    found: dict[str, list[str]] = {}
    for thread_id, namespace, one in query(
        shelf, "SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints ORDER BY checkpoint_id"
    ):
        if thread in (None, thread_id):
            found.setdefault(namespace, []).append(one)
    return found


def count(shelf: Shelf) -> int:
    return sum(map(len, checkpoints(shelf).values()))


def left_over(shelf: Shelf) -> list[Any]:
    return [row for sql in _LEFT_OVER[driver_url(shelf.backend.url).get_backend_name()] for row in query(shelf, sql)]


async def next_turn(shelf: Shelf, worker: str = "w1") -> Claim:
    await shelf.store.accept([request(event(thread_id="talk"))])
    return await claim_one(shelf.store, worker)


async def turn(shelf: Shelf, graph: Any, given: Any) -> Any:
    """One run of the conversation, from its claim to its end."""
    claim = await next_turn(shelf)
    state = await shelf.on(claim, graph).run(given)
    assert await shelf.store.finish(claim, result(claim))
    return state


def talk() -> Any:
    return chain(a=lambda state: {"log": [f"a{state['value']}"]}, b=lambda state: {"log": [f"b{state['value']}"]})


def said(turns: int) -> list[str]:
    return [word for number in range(turns) for word in (f"a{number}", f"b{number}")]


def joined(before: list[str], writes: list[list[str]]) -> list[str]:
    return before + [one for write in writes for one in write]


# ---- what goes ----


async def test_a_conversation_does_not_grow_with_its_runs(trimmed):
    sizes = []
    for number in range(12):
        state = await turn(trimmed, talk(), {"value": number})
        assert state["log"] == said(number + 1)
        sizes.append(count(trimmed))
    assert max(sizes) <= 2 * KEPT
    assert min(sizes[3:]) >= KEPT
    assert left_over(trimmed) == []


async def test_what_stays_is_the_newest_and_whole(trimmed):
    for number in range(12):
        before = checkpoints(trimmed).get("", [])
        await turn(trimmed, talk(), {"value": number})
        after = checkpoints(trimmed)[""]
        stayed = [one for one in before if one in after]
        assert stayed == before[len(before) - len(stayed) :]
    on = trimmed.on(await next_turn(trimmed), talk())
    history = [state async for state in on.graph.aget_state_history(on.config)]
    assert [state.config["configurable"]["checkpoint_id"] for state in reversed(history)] == checkpoints(trimmed)[""]
    assert [state.parent_config for state in history] == [*(state.config for state in history[1:]), None]
    for state in history:
        words = state.values["log"]
        assert words == said(12)[: len(words)]
        assert len(words) > 12


async def test_other_threads_stay_as_they_are(trimmed):
    others = await trimmed.claims(2)
    for claim in others:
        await trimmed.on(claim, talk()).run({"value": 0})
    before = [checkpoints(trimmed, claim.thread_id) for claim in others]
    for number in range(6):
        await turn(trimmed, talk(), {"value": number})
    assert [checkpoints(trimmed, claim.thread_id) for claim in others] == before
    for claim in others:
        assert await trimmed.on(claim, talk()).values() == {"value": 0, "log": ["a0", "b0"]}


async def test_without_a_number_all_stays(fenced):
    for number in range(6):
        await turn(fenced, talk(), {"value": number})
    assert count(fenced) == 6 * 4


async def test_a_run_that_has_lost_its_thread_removes_nothing(trimmed):
    claim = await next_turn(trimmed)
    for number in range(1, 30):
        await put(trimmed.saver(claim), claim, number, x=number)
    taken = await trimmed.take_over()
    assert not await trimmed.store.finish(claim, result(claim))
    assert count(trimmed) == 29
    assert await trimmed.store.finish(taken, result(taken))
    assert KEPT <= count(trimmed) <= 2 * KEPT


async def test_a_long_past_goes_in_portions(trimmed, monkeypatch):
    monkeypatch.setattr("langgraph_worker.store.sql.trimming.MOST_AT_ONCE", 20)
    claim = await next_turn(trimmed)
    saver = trimmed.saver(claim)
    for number in range(1, 61):
        await put(saver, claim, number, x=[number], y=[0])
    assert await trimmed.store.finish(claim, result(claim))
    sizes = [count(trimmed)]
    for _ in range(3):
        claim = await next_turn(trimmed)
        assert await trimmed.store.finish(claim, result(claim))
        sizes.append(count(trimmed))
        assert left_over(trimmed) == []
    assert [60 - sizes[0] <= 20, sizes[-1] <= 2 * KEPT, sizes == sorted(sizes, reverse=True)] == [True] * 3


# ---- what goes while no run ends ----


async def trim_all(shelf: Shelf) -> int:
    removed, done = 0, ""
    while done is not None:
        found = await shelf.store.trim_checkpoints(done, 2)
        removed, done = removed + found.checkpoints, found.done
    return removed


async def long_past(shelf: Shelf, *claims: Claim) -> None:
    for claim in claims:
        saver = shelf.saver(claim)
        for number in range(1, 31):
            await put(saver, claim, number, x=[number], y=[0])


async def test_threads_that_nobody_holds_are_trimmed_and_no_others(trimmed, monkeypatch):
    monkeypatch.setattr("langgraph_worker.store.sql.trimming.MOST_AT_ONCE", 8)
    claims = await trimmed.claims(5)
    await long_past(trimmed, *claims)
    held, lost, *given_back = claims
    await trimmed.store.cancel([Cancel(lost.correlation_id)], WEEK)
    for claim in given_back:
        await trimmed.store.release(claim)
    removed = await trim_all(trimmed)
    sizes = [len(checkpoints(trimmed, claim.thread_id)[""]) for claim in claims]
    assert sizes[:2] == [30, 30]  # a worker may still be at work on them
    assert all(KEPT <= size <= 2 * KEPT for size in sizes[2:])
    assert removed == 5 * 30 - sum(sizes)
    assert left_over(trimmed) == []
    await trimmed.store.release(lost)
    assert await trim_all(trimmed) >= 20
    assert await trim_all(trimmed) == 0
    assert (await trimmed.saver(held).aget_tuple(put_config(held))).checkpoint["channel_values"]["x"] == [30]


async def test_a_store_without_checkpoints_has_none_to_remove(trimmed):
    engine = create_engine(driver_url(trimmed.backend.url))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE checkpoints RENAME TO elsewhere"))
    try:
        await trimmed.store.accept([request()])
        assert await trim_all(trimmed) == 0
    finally:
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO checkpoints"))
        engine.dispose()


# ---- what a run may need ----


async def test_a_retry_goes_on_where_the_run_failed(trimmed):
    for number in range(5):
        await turn(trimmed, talk(), {"value": number})
    ran: list[str] = []
    failing = Failing(1, ConnectionError("gone"))
    graph = chain(
        **{name: (lambda state, name=name: ran.append(name) or {"log": [name]}) for name in "abcdefghijkl"},
        last=failing,
    )
    claim = await next_turn(trimmed)
    with pytest.raises(ConnectionError):
        await trimmed.on(claim, graph).run({"value": 9})
    assert await trimmed.store.finish(claim, result(claim, ResultStatus.FAILURE))
    assert count(trimmed) <= 2 * KEPT
    state = await trimmed.on(await next_turn(trimmed), graph).run(None)
    assert state["log"] == [*said(5), *"abcdefghijkl", "b"]
    assert ran == list("abcdefghijkl")


def nested(inner: Any, **compiled: Any) -> Any:
    """A graph of one subgraph, of which each step is a checkpoint."""
    return chain(sub=inner.compile(**compiled))


async def test_the_calls_of_subgraphs_go_too(trimmed):
    graph = nested(chain(a=lambda state: {"value": state["value"] + 1}, b=lambda state: {"value": state["value"] + 1}))
    sizes = []
    for number in range(8):
        assert (await turn(trimmed, graph, {"value": number}))["value"] == number + 2
        sizes.append(count(trimmed))
    assert max(sizes) <= 2 * KEPT
    assert left_over(trimmed) == []


async def test_a_subgraph_that_remembers_goes_on_remembering(trimmed):
    remembers = chain(a=lambda state: {"log": [f"in{state['value']}"]}).compile(checkpointer=True)
    seen: list[list[str]] = []

    async def outer(state: State) -> State:
        inner = await remembers.ainvoke({"value": state["value"]})
        seen.append(inner["log"])
        return {"value": state["value"]}

    graph = chain(outer=outer)
    for number in range(12):
        await turn(trimmed, graph, {"value": number})
        assert seen[-1] == [f"in{one}" for one in range(number + 1)]
    assert count(trimmed) <= 2 * KEPT
    assert left_over(trimmed) == []


async def test_a_question_within_a_long_subgraph_is_answered_after_the_run_has_ended(trimmed):
    ran: list[str] = []
    steps = {name: (lambda state, name=name: ran.append(name) or {"log": [name]}) for name in "abcdefghijklmnop"}
    graph = nested(chain(**steps, ask=lambda state: {"log": [interrupt("well?")]}))
    claim = await next_turn(trimmed)
    found = await trimmed.on(claim, graph).run({"value": 1})
    assert found["__interrupt__"][0].value == "well?"
    before = checkpoints(trimmed)
    assert await trimmed.store.finish(claim, result(claim, ResultStatus.FAILURE))
    after = checkpoints(trimmed)
    assert after.pop("") == before.pop("")[-1:]
    assert after == before  # of the call that has not ended
    assert count(trimmed) > 2 * KEPT
    state = await trimmed.on(await next_turn(trimmed), graph).run(Command(resume="yes"))
    assert state["log"] == [*"abcdefghijklmnop", "yes"]
    assert ran == list("abcdefghijklmnop")


async def test_the_writes_of_the_latest_checkpoint_stay(trimmed):
    for number in range(5):
        await turn(trimmed, talk(), {"value": number})
    ran: list[str] = []
    builder = talk()
    for name, node in (("c", lambda state: ran.append("c") or {"log": ["c"]}), ("d", Failing(1, KeyError("gone")))):
        builder.add_node(name, node)
        builder.add_edge("b", name)
    claim = await next_turn(trimmed)
    with pytest.raises(KeyError):
        await trimmed.on(claim, builder).run({"value": 5})
    assert await trimmed.store.finish(claim, result(claim, ResultStatus.FAILURE))
    state = await trimmed.on(await next_turn(trimmed), builder).run(None)
    assert sorted(state["log"][-2:]) == ["b", "c"]
    assert ran == ["c"]


class Often(TypedDict, total=False):
    log: Annotated[list[str], DeltaChannel(joined, snapshot_frequency=2)]


class Never(TypedDict, total=False):
    log: Annotated[list[str], DeltaChannel(joined, snapshot_frequency=1_000)]


@pytest.mark.parametrize("schema", [Often, Never])
async def test_a_channel_of_deltas_is_still_rebuilt(trimmed, schema):
    graph = chain(schema, **{name: (lambda state, name=name: {"log": [name]}) for name in "abc"})
    for number in range(12):
        state = await turn(trimmed, graph, {"log": ["input"]})
        assert state["log"] == ["input", "a", "b", "c"] * (number + 1)
    on = trimmed.on(await next_turn(trimmed), graph)
    for past in [state async for state in on.graph.aget_state_history(on.config)]:
        words = past.values.get("log", [])
        assert words == (["input", "a", "b", "c"] * 12)[: len(words)]
        assert words or schema is Never
    # Only a checkpoint that holds all of the channel lets older ones go.
    assert (count(trimmed) <= 2 * KEPT + 2) == (schema is Often)


async def test_metadata_that_cannot_be_read_keeps_what_it_describes(trimmed):
    for number in range(3):
        await turn(trimmed, talk(), {"value": number})
    is_sqlite = trimmed.backend.url.startswith("sqlite")
    engine = create_engine(driver_url(trimmed.backend.url))
    with engine.begin() as connection:
        broken = b"{" if is_sqlite else "[]"
        connection.execute(text("UPDATE checkpoints SET metadata = :broken"), {"broken": broken})
    engine.dispose()
    before = count(trimmed)
    claim = await next_turn(trimmed)
    assert await trimmed.store.finish(claim, result(claim))
    assert count(trimmed) == before
