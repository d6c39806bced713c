from __future__ import annotations

from typing import Any, Literal

import pytest
from langchain_core.messages import AnyMessage
from pydantic import BaseModel, TypeAdapter

from langgraph_worker.cli.schema_words import in_words


class Inner(BaseModel):
    name: str


class Outer(BaseModel):
    inner: Inner
    kind: Literal["a", "b"] = "a"
    number: int | None = None
    many: list[Inner] = []
    anything: Any = None


class Chat(BaseModel):
    messages: list[AnyMessage]


class Tree(BaseModel):
    children: list[Tree] = []


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Outer, "inner: Inner, kind?: 'a' | 'b', number?: integer | null, many?: list of Inner, anything?: any"),
        (Chat, "messages: list of message"),
        (Tree, "children?: list of Tree"),
        (str, "string"),
        (list[int], "list of integer"),
        (dict[str, int], "object"),
        (Any, "any"),
    ],
)
def test_names_and_types(kind, words):
    assert in_words(TypeAdapter(kind).json_schema()) == words


@pytest.mark.parametrize("schema", [None, True, "x"])
def test_no_schema_has_no_words(schema):
    assert in_words(schema) == ""


def test_a_reference_that_leads_nowhere_is_any():
    assert in_words({"properties": {"x": {"$ref": "#/$defs/Gone"}}}) == "x?: any"
