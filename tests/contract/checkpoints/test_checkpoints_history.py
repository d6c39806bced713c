"""A thread's past: listed, looked at, gone back to, deleted; and channels that are rebuilt from it."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import pytest
from langgraph.channels import DeltaChannel
from langgraph.types import Overwrite

from tests.support.checkpoints import config_of, latest, put, put_config
from tests.support.runs import Failing, chain


def steps() -> Any:
    return chain(**{name: (lambda state, name=name: {"log": [name]}) for name in "abc"})


def at(snapshot: Any) -> dict[str, Any]:
    """The config of a past state, as a person copies it."""
    return {"configurable": dict(snapshot.config["configurable"])}


async def past(on) -> dict[tuple[str, ...], Any]:
    """The thread's states by what comes next."""
    return {state.next: state async for state in on.graph.aget_state_history(on.config)}


# ---- states ----


async def test_the_history_is_every_state_newest_first(shelf):
    on = shelf.on(await shelf.claim(), steps())
    await on.run({"value": 1})
    history = [state async for state in on.graph.aget_state_history(on.config)]
    assert [state.next for state in history] == [(), ("c",), ("b",), ("a",), ("__start__",)]
    assert [state.values.get("log") for state in history[:-1]] == [["a", "b", "c"], ["a", "b"], ["a"], []]
    assert [state.metadata["source"] for state in history] == ["loop"] * 4 + ["input"]
    assert [state.parent_config for state in history] == [*(state.config for state in history[1:]), None]


async def test_the_history_can_be_narrowed(shelf):
    on = shelf.on(await shelf.claim(), steps())
    await on.run({"value": 1})
    history = [state async for state in on.graph.aget_state_history(on.config)]

    async def found(**narrow):
        return [state async for state in on.graph.aget_state_history(on.config, **narrow)]

    assert await found(limit=2) == history[:2]
    assert await found(before=history[1].config) == history[2:]
    assert await found(filter={"step": 0}) == [history[3]]
    assert await found(filter={"source": "input"}, limit=3) == [history[-1]]
    assert await found(filter={"step": 99}) == []


async def test_a_past_state_is_found_by_its_id(shelf):
    on = shelf.on(await shelf.claim(), steps())
    await on.run({"value": 1})
    was = (await past(on))[("b",)]
    assert await on.graph.aget_state(at(was)) == was
    unknown = {"configurable": {**at(was)["configurable"], "checkpoint_id": "1ef00000-0000-6000-8000-000000000000"}}
    assert (await on.graph.aget_state(unknown)).metadata is None


async def test_an_unknown_thread_has_no_state(shelf):
    on = shelf.on(await shelf.claim(), steps())
    assert (await on.state()).metadata is None
    assert [found async for found in on.saver.alist(on.config)] == []
    unknown = await shelf.claim()
    assert await shelf.saver(unknown).aget_tuple(put_config(unknown)) is None


async def test_a_run_from_a_past_state_leaves_the_past_as_it_was(shelf):
    ran = []
    graph = chain(**{name: (lambda state, name=name: ran.append(name) or {"log": [name]}) for name in "abc"})
    on = shelf.on(await shelf.claim(), graph)
    await on.run({"value": 1})
    before = await past(on)
    again = await on.run(None, at(before[("b",)]))
    assert again["log"] == ["a", "b", "c"]
    assert ran == ["a", "b", "c", "b", "c"]
    history = [state async for state in on.graph.aget_state_history(on.config)]
    assert history[0].config != before[()].config
    assert [state for state in history if state in before.values()] == list(before.values())


async def test_a_changed_past_state_is_another_branch(shelf):
    on = shelf.on(await shelf.claim(), steps())
    await on.run({"value": 1})
    before = await past(on)
    fork = await on.graph.aupdate_state(at(before[("b",)]), {"value": 2, "log": ["edited"]})
    assert await on.run(None, fork) == {"value": 2, "log": ["a", "edited", "b", "c"]}
    assert await on.values() == {"value": 2, "log": ["a", "edited", "b", "c"]}
    assert (await on.graph.aget_state(at(before[()]))).values == {"value": 1, "log": ["a", "b", "c"]}


async def test_deleting_a_thread_leaves_the_others(shelf):
    claims = await shelf.claims(2)
    graph = chain(sub=steps().compile(), b=Failing(len(claims), ConnectionError("gone")))
    for claim in claims:
        with pytest.raises(ConnectionError):
            await shelf.on(claim, graph).run({"value": 1})
    gone, kept = (shelf.on(claim, graph) for claim in claims)
    await gone.saver.adelete_thread(gone.thread_id)
    assert (await gone.state()).metadata is None
    assert [found async for found in gone.saver.alist({"configurable": {"thread_id": gone.thread_id}})] == []
    assert len([found async for found in kept.saver.alist({"configurable": {"thread_id": kept.thread_id}})]) == 8
    assert (await kept.run(None))["log"] == ["a", "b", "c", "b"]
    await shelf.on(claims[0], steps()).run({"value": 2})
    assert await shelf.on(claims[0], steps()).values() == {"value": 2, "log": ["a", "b", "c"]}


async def test_metadata_says_whose_a_checkpoint_is(shelf):
    claim = await shelf.claim()
    saver = shelf.saver(claim)
    await put(saver, claim, 1, x=1)
    found = await saver.aget_tuple(put_config(claim))
    assert found.metadata["step"] == 1
    on = shelf.on(claim, steps())
    config = {**config_of(claim), "metadata": {"correlation_id": "ä\u2028"}, "tags": ["night"]}
    await on.run({"value": 1}, config)
    found = await saver.aget_tuple(put_config(claim))
    assert found.metadata["correlation_id"] == "ä\u2028"


async def test_a_checkpoint_names_its_logical_run_whatever_the_config_says(fenced):
    claim = await fenced.claim()
    on = fenced.on(claim, chain(sub=steps().compile()))
    await on.run({"value": 1}, {**config_of(claim), "metadata": {"run_id": "7"}})
    kept = [found async for found in on.saver.alist({"configurable": {"thread_id": claim.thread_id}})]
    assert len({found.config["configurable"]["checkpoint_ns"] for found in kept}) == 2
    assert {found.metadata["run_id"] for found in kept} == {str(claim.logical_run)}


# ---- channels that keep only what changed ----


def joined(before: list[str], writes: list[list[str]]) -> list[str]:
    return before + [one for write in writes for one in write]


class Deltas(TypedDict, total=False):
    often: Annotated[list[str], DeltaChannel(joined, snapshot_frequency=2)]
    never: Annotated[list[str], DeltaChannel(joined, snapshot_frequency=1_000)]
    value: Any


def both(*words: str) -> Deltas:
    return {"often": list(words), "never": list(words)}


async def test_a_delta_channel_is_rebuilt_at_every_state(shelf):
    names = "abcdefg"
    graph = chain(Deltas, **{name: (lambda state, name=name: both(name, name * 2)) for name in names})
    claim = await shelf.claim()
    await shelf.on(claim, graph).run({**both("input"), "value": 1})
    on = shelf.on(claim, graph)
    words = ["input", *(word for name in names for word in (name, name * 2))]
    history = [state async for state in on.graph.aget_state_history(on.config)]
    assert len(history) == len(names) + 2
    for number, state in enumerate(reversed(history[:-1])):
        assert state.values["often"] == state.values["never"] == words[: 1 + 2 * number]
    for state in history[:-1]:
        assert (await on.graph.aget_state(at(state))).values == state.values


async def test_a_delta_channel_goes_on_after_a_failure(shelf):
    failing = Failing(1, ConnectionError("gone"))
    graph = chain(
        Deltas, a=lambda state: both("a"), b=lambda state: failing(state) and both("b"), c=lambda state: both("c")
    )
    claim = await shelf.claim()
    with pytest.raises(ConnectionError):
        await shelf.on(claim, graph).run(both("input"))
    state = await shelf.on(claim, graph).run(None)
    assert state["often"] == state["never"] == ["input", "a", "b", "c"]
    on = shelf.on(claim, graph)
    again = await on.run(both("more"))
    assert again["often"] == again["never"] == ["input", "a", "b", "c", "more", "a", "b", "c"]


async def test_a_delta_channel_is_rebuilt_from_what_replaced_it(shelf):
    graph = chain(
        Deltas,
        a=lambda state: both("a"),
        b=lambda state: {name: Overwrite(["new"]) for name in ("often", "never")},
        c=lambda state: both("c"),
    )
    claim = await shelf.claim()
    await shelf.on(claim, graph).run(both("input"))
    values = await shelf.on(claim, graph).values()
    assert values["often"] == values["never"] == ["new", "c"]


async def test_the_history_of_a_delta_channel_is_its_writes_since_a_snapshot(shelf):
    graph = chain(Deltas, **{name: (lambda state, name=name: both(name)) for name in "abc"})
    claim = await shelf.claim()
    await shelf.on(claim, graph).run(both("input"))
    saver = shelf.saver(claim)
    history = await saver.aget_delta_channel_history(config=put_config(claim), channels=["often", "never", "none"])
    assert [value for _, _, value in history["never"]["writes"]] == [["input"], ["a"], ["b"], ["c"]]
    assert "seed" not in history["never"]
    assert [*history["often"]["seed"].value, *(value[0] for _, _, value in history["often"]["writes"])] == [
        *("input", "a", "b", "c")
    ]
    assert history["none"] == {"writes": []}
    assert await saver.aget_delta_channel_history(config=put_config(claim), channels=[]) == {}
    assert "never" not in (await latest(saver, claim))
