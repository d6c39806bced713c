"""A result has what the graph returned, also where a field is declared as a wider type than its value has."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, RootModel, SecretStr, field_serializer
from pydantic.dataclasses import dataclass as model_dataclass

from langgraph_worker.domain.json_values import capped, to_json
from tests.support.runs import chain, opened


class Finding(BaseModel):
    text: str = "t"


class Graded(Finding):
    grade: int = 5


class Report(BaseModel):
    best: Finding = Graded()
    all: list[Finding] = [Graded(), Finding()]
    by_name: dict[str, Finding | None] = {"a": Graded(), "b": None}
    pair: tuple[Finding, int] = (Graded(), 1)


class Findings(RootModel[list[Finding]]):
    pass


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


@dataclasses.dataclass
class Plain:
    finding: Finding
    next: Plain | None = None


@dataclasses.dataclass
class Longer(Plain):
    more: int = 9


@model_dataclass
class Checked:
    finding: Finding


@model_dataclass
class CheckedMore(Checked):
    more: int = 9


class HoldsChecked(BaseModel):
    checked: Checked = CheckedMore(Graded())


GRADED = {"text": "t", "grade": 5}
REPORT = {
    "best": GRADED,
    "all": [GRADED, {"text": "t"}],
    "by_name": {"a": GRADED, "b": None},
    "pair": [GRADED, 1],
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Report(), REPORT),
        ({"deep": [{"report": Report()}]}, {"deep": [{"report": REPORT}]}),
        (Findings([Graded()]), [GRADED]),
        (Open(finding=Graded()), {"finding": GRADED}),
        (
            Plain(Graded(), Longer(Graded())),
            {"finding": GRADED, "next": {"finding": GRADED, "next": None, "more": 9}},
        ),
        (HoldsChecked(), {"checked": {"finding": GRADED, "more": 9}}),
    ],
)
def test_the_fields_of_a_values_own_type_arrive(value: Any, expected: Any) -> None:
    assert to_json(value) == expected
    assert capped(value, 10_000) == expected


class Talk(BaseModel):
    messages: list[BaseMessage]


def test_messages_arrive_with_what_their_kind_has_and_what_was_added() -> None:
    said = AIMessage("hi", tool_calls=[{"name": "buy", "args": {"n": 1}, "id": "1"}])
    asked = HumanMessage("buy", name="Ada", mood="calm")
    found: Any = to_json(Talk(messages=[said, asked]))
    assert found["messages"] == to_json([said, asked])
    assert found["messages"][0]["tool_calls"][0]["args"] == {"n": 1}
    assert found["messages"][1]["mood"] == "calm"


class Priced(Finding):
    price: Annotated[Decimal, PlainSerializer(float)] = Decimal("1.5")
    key: SecretStr = SecretStr("secret")
    internal: str = Field("not for others", exclude=True)
    seconds: int = 90

    @field_serializer("seconds")
    def _in_words(self, seconds: int) -> str:
        return f"{seconds} s"


def test_what_a_model_says_of_its_own_form_still_holds() -> None:
    expected = {"text": "t", "price": 1.5, "key": "**********", "seconds": "90 s"}
    assert to_json(Priced()) == expected
    assert to_json(Report(best=Priced()))["best"] == expected  # type: ignore[call-overload, index]


class State(TypedDict):
    report: Report


async def test_a_runs_result_has_them(tmp_path: Path) -> None:
    async with opened(tmp_path / "store.db") as desk:
        claim = await desk.claim("g", {})
        outcome = await desk.run(claim, chain(State, a=lambda state: {"report": Report()}))
    assert outcome.result.result == {"report": REPORT}
