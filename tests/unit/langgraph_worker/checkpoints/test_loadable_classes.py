"""Which classes a checkpoint may name, in a project as people write it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ormsgpack
import pytest
from langchain_core.agents import AgentAction
from langchain_core.messages import AIMessage

from langgraph_worker.checkpoints.loadable_classes import LoadableClasses
from langgraph_worker.checkpoints.serializer import NamingSerializer, NotLoadableError
from langgraph_worker.graphs.loader import Graphs, load_graphs
from langgraph_worker.graphs.manifest import read_manifest

GRAPH = """
import http, os, subprocess  # noqa
from dataclasses import dataclass
from enum import Enum
from subprocess import Popen
from typing import Generic, NamedTuple, TypeVar
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel, SecretStr
from vendor_of_offers import Client

class Order(BaseModel):
    amount: int

@dataclass
class Offer:
    price: float

class Side(Enum):
    BUY = "buy"

class Place(NamedTuple):
    x: int

class Ticket(BaseModel):
    class State(Enum):
        OPEN = "open"
    state: State

class Box(BaseModel, Generic[TypeVar("T")]):
    value: int

class Desk:
    pass

graph = StateGraph(MessagesState).add_node("n", lambda s: {}).add_edge(START, "n").compile()
"""
VENDOR = """
from dataclasses import dataclass

class Client:
    pass

@dataclass
class Answer:
    text: str

def wire(amount):
    raise SystemExit("money was sent")
"""
LAZY = "from pydantic import BaseModel\nclass Report(BaseModel):\n    title: str\n"


@pytest.fixture
def graphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Graphs]:
    project, installed = tmp_path / "project", tmp_path / "lib" / "site-packages"
    (project / "my_desk").mkdir(parents=True)
    installed.mkdir(parents=True)
    (installed / "vendor_of_offers.py").write_text(VENDOR)
    (installed / "unused_package.py").write_text(VENDOR)
    (project / "desk.py").write_text(GRAPH)
    (project / "my_desk" / "__init__.py").touch()
    (project / "my_desk" / "lazy_reports.py").write_text(LAZY)
    manifest = {"dependencies": ["."], "graphs": {"g": "./desk.py:graph"}}
    (project / "langgraph.json").write_text(json.dumps(manifest))
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [str(installed), *sys.path])
    yield load_graphs(read_manifest(project / "langgraph.json"))
    for name in set(sys.modules) - before:
        if name.startswith(("langgraph_project__", "my_desk", "vendor_of_offers", "unused_package")):
            del sys.modules[name]


def serializer(graphs: Graphs, *further: str) -> NamingSerializer:
    return NamingSerializer(LoadableClasses(graphs.folders, graphs.packages, further))


def naming(module: str, name: str, argument: Any, code: int = 0) -> tuple[str, bytes]:
    """What a stored value looks like that names a class, here inside of a list."""
    return "msgpack", ormsgpack.packb([ormsgpack.Ext(code, ormsgpack.packb((module, name, argument)))])


def test_what_a_project_stores_comes_back(graphs: Graphs) -> None:
    desk = sys.modules["langgraph_project__desk"]
    values = [
        desk.Order(amount=1),
        desk.Offer(1.5),
        desk.Side.BUY,
        desk.Place(3),
        desk.SecretStr("x"),
        desk.http.HTTPStatus.OK,
        sys.modules["vendor_of_offers"].Answer("yes"),
        AIMessage("hello", id="1"),
        AgentAction("tool", "input", "log"),
    ]
    value = {"nested": [{"a": values}, desk.Offer(desk.Order(amount=2))]}
    found = serializer(graphs).loads_typed(serializer(graphs).dumps_typed(value))
    assert found == value
    assert [type(one) for one in found["nested"][0]["a"]] == [type(one) for one in values]


def test_a_class_of_the_project_that_no_module_has_imported_yet(graphs: Graphs) -> None:
    (found,) = serializer(graphs).loads_typed(naming("my_desk.lazy_reports", "Report", {"title": "x"}, code=5))
    assert (type(found).__name__, found.title) == ("Report", "x")


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("subprocess", "Popen"),
        ("subprocess", "run"),
        ("builtins", "eval"),
        ("importlib", "import_module"),
        ("vendor_of_offers", "wire"),
        ("vendor_of_offers", "Client"),
        ("unused_package", "Answer"),
        ("langgraph_project__desk", "os"),
        ("langgraph_project__desk", "Popen"),
        ("langgraph_project__other", "Order"),
        ("no_such_module", "X"),
        ("", ""),
        ("..", "X"),
    ],
)
def test_nothing_else_is_called(graphs: Graphs, tmp_path: Path, module: str, name: str) -> None:
    command = f"touch {tmp_path}/called"
    for code in (0, 1, 2, 4, 5):
        argument = {0: command, 1: [command], 2: {"args": command, "shell": True}}.get(code, {"args": command})
        with pytest.raises(NotLoadableError, match="LANGGRAPH_WORKER_CHECKPOINT_PACKAGES") as caught:
            serializer(graphs).loads_typed(naming(module, name, argument, code))
        assert f"an object of {module}.{name}, which" in str(caught.value)
    assert not (tmp_path / "called").exists()
    assert "unused_package" not in sys.modules


def test_a_class_that_its_module_does_not_show_comes_back_as_its_data(graphs: Graphs) -> None:
    desk, reader = sys.modules["langgraph_project__desk"], serializer(graphs)
    ticket, box = desk.Ticket(state="open"), desk.Box[dict](value=1)
    assert reader.loads_typed(reader.dumps_typed([ticket, ticket.state, box])) == [ticket, "open", {"value": 1}]


def test_a_name_that_appears_later_is_judged_then(graphs: Graphs, tmp_path: Path) -> None:
    desk, reader, called = sys.modules["langgraph_project__desk"], serializer(graphs), str(tmp_path / "called")
    assert reader.loads_typed(naming("langgraph_project__desk", "Late", ["touch", called])) == [["touch", called]]
    desk.Late = desk.subprocess.Popen  # type: ignore[attr-defined]
    with pytest.raises(NotLoadableError):
        reader.loads_typed(naming("langgraph_project__desk", "Late", ["touch", called]))


def test_a_plain_class_of_the_project(graphs: Graphs) -> None:
    (found,) = serializer(graphs).loads_typed(naming("langgraph_project__desk", "Desk", [], code=1))
    assert type(found) is sys.modules["langgraph_project__desk"].Desk


def test_a_setting_allows_a_package(graphs: Graphs) -> None:
    (found,) = serializer(graphs, "unused_package").loads_typed(naming("unused_package", "Answer", {"text": "x"}, 2))
    assert found.text == "x"
    with pytest.raises(NotLoadableError):
        serializer(graphs, "unused_package").loads_typed(naming("unused_package", "wire", 1))


def test_one_refusal_does_not_refuse_what_is_read_next(graphs: Graphs) -> None:
    reader = serializer(graphs)
    with pytest.raises(NotLoadableError):
        reader.loads_typed(naming("os", "system", "true"))
    assert reader.loads_typed(reader.dumps_typed({"a": 1})) == {"a": 1}


def test_a_value_that_breaks_off_behind_a_refusal_does_not_refuse_what_is_read_next(graphs: Graphs) -> None:
    reader = serializer(graphs)
    kind, whole = naming("os", "system", "true")
    with pytest.raises(ValueError, match="unexpected end") as caught:
        reader.loads_typed((kind, bytes([whole[0] + 1]) + whole[1:]))  # a list that announces one value more
    assert not isinstance(caught.value, NotLoadableError)
    assert reader.loads_typed(reader.dumps_typed({"a": 1})) == {"a": 1}
