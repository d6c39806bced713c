"""A thread whose stored state another version of its graph has written."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from langgraph_worker.execution.runner import Runner
from tests.support.runs import Desk, chain, opened
from tests.support.ti_ids import new_ti_id
from workflow_events.models import Attempt
from workflow_events.results import ResultStatus, WorkflowResultEvent


class Old(BaseModel):
    text: str = ""
    amount: Any = None
    items: Annotated[list[Any], operator.add] = []


class Item(BaseModel):
    price: int


class Amount(BaseModel):
    text: str = ""
    amount: int = 0


class Required(BaseModel):
    text: str = ""
    new: int


class Items(BaseModel):
    items: Annotated[list[Item], operator.add] = []


def writes(state: Any) -> dict[str, Any]:
    return {"amount": "Ada's twelve", "items": [{"cost": 5}]}


def fails(state: Any) -> dict[str, Any]:
    raise OSError("away")


def ends(state: Any) -> dict[str, Any]:
    return {}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(tmp_path / "store.db") as desk:
        yield desk


async def talk(desk: Desk, schema: Any, node: Any, data: Any, **event: Any) -> WorkflowResultEvent:
    claim = await desk.claim("g", data, thread_id=event.pop("thread_id", "talk"), **event)
    return (await desk.run(claim, chain(schema, a=node))).result


async def tried(desk: Desk, graph: Any, number: int, max_tries: int = 5) -> WorkflowResultEvent:
    attempt = Attempt(task="t", id=new_ti_id(), try_number=number, max_tries=max_tries)
    return (await desk.run(await desk.claim("g", {"text": "hi"}, attempt=attempt), graph)).result


async def test_a_run_that_goes_on_names_the_field_and_its_thread_and_a_clear_starts_over(desk: Desk) -> None:
    first = await tried(desk, chain(Old, a=writes, b=fails), 1)
    assert first.error_type == "OSError"
    new = chain(Amount, a=ends, b=ends)
    result = await tried(desk, new, 2)
    assert (result.status, result.error_type, result.retriable) == (ResultStatus.ERROR, "stored_state_invalid", False)
    assert result.error is not None
    assert (
        f"field 'amount' of thread {first.thread_id}: Amount: amount: Input should be a valid integer" in result.error
    )
    assert "on_clear='restart'" in result.error
    assert "Ada" not in result.error
    cleared = await tried(desk, new, 3, max_tries=7)
    assert cleared.status is ResultStatus.SUCCESS
    assert cleared.thread_id != first.thread_id


async def test_a_conversation_names_its_thread_and_another_name_begins_anew(desk: Desk) -> None:
    await talk(desk, Old, writes, {"text": "hi"})
    result = await talk(desk, Amount, ends, {"text": "and now?"})
    assert result.error_type == "stored_state_invalid"
    assert f"field 'amount' of thread 'talk' ({result.thread_id}): " in (result.error or "")
    assert "another thread_id" in (result.error or "")
    again = await talk(desk, Amount, ends, {"text": "and now?"}, thread_id="talk-2")
    assert again.status is ResultStatus.SUCCESS


async def test_items_that_a_reducer_has_gathered_are_the_stored_states(desk: Desk) -> None:
    await talk(desk, Old, writes, {"text": "hi"})
    result = await talk(desk, Items, ends, {"items": [{"price": 1}]})
    assert (result.error_type, "field 'items' of thread" in (result.error or "")) == ("stored_state_invalid", True)


@pytest.mark.parametrize(
    ("schema", "data", "field"),
    [
        (Amount, {"amount": "many"}, "amount"),  # it replaces the stored value
        (Required, {"text": "hi"}, "new"),  # neither has it, so the input can bring it
        (Items, {"items": [{"price": 1}, {"price": "much"}]}, "items"),
    ],
)
async def test_what_the_input_can_mend_is_a_bad_input(desk: Desk, schema: Any, data: Any, field: str) -> None:
    if schema is Items:
        await talk(desk, Items, ends, {"items": [{"price": 3}]})
    else:
        await talk(desk, Old, writes, {"text": "hi"})
    result = await talk(desk, schema, ends, data)
    assert result.error_type == "bad_input"
    assert field in (result.error or "")


async def test_a_new_threads_input_is_a_bad_input(desk: Desk) -> None:
    assert (await talk(desk, Required, ends, {"text": "hi"})).error_type == "bad_input"


async def test_a_validation_error_of_a_node_is_its_own(desk: Desk) -> None:
    await talk(desk, Old, writes, {"text": "hi"})
    result = await talk(desk, Old, lambda state: Amount(amount="many"), {"text": "hi"})  # type: ignore[arg-type]
    assert (result.status, result.error_type) == (ResultStatus.FAILURE, "ValidationError")


async def test_a_worker_that_keeps_texts_to_itself_names_the_field_alone(desk: Desk) -> None:
    def quiet(graphs: Any) -> Runner:
        made = desk.runner(graphs)
        return replace(made, limits=replace(made.limits, exception_texts=False))

    await talk(desk, Old, writes, {"text": "hi"})
    result = await talk(replace(desk, runner=quiet), Amount, ends, {"text": "hi"})
    assert "field 'amount' of thread 'talk'" in (result.error or "")
    assert "valid integer" not in (result.error or "")
