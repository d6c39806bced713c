"""Every form of graph that LangGraph documents, from files as people write them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from langgraph.config import get_config

from langgraph_worker.errors import GraphLoadError, NoServerError
from langgraph_worker.graphs.loader import load_graphs
from langgraph_worker.graphs.manifest import read_manifest
from langgraph_worker.graphs.node_names import node_names

pytestmark = pytest.mark.usefixtures("own_imports")

PLAIN = Path(__file__).parents[3] / "graphs" / "plain"
HEAD = dedent(
    """
    import contextlib
    from typing import TypedDict
    from langchain_core.runnables import RunnableConfig
    from langgraph.config import get_config
    from langgraph.graph import START, StateGraph
    from langgraph_sdk.runtime import ServerRuntime

    class State(TypedDict, total=False):
        seen: str

    log = []

    def build(word="plain"):
        builder = StateGraph(State)
        builder.add_node("node", lambda state: {"seen": word})
        builder.add_edge(START, "node")
        return builder
    """
)
FORMS = {
    "compiled": ("graph = build().compile()", "compiled", "plain"),
    "builder": ("graph = build()", "builder", "plain"),
    "no_arguments": ("def graph(): return build()", "factory", "plain"),
    "config": ("def graph(config): return build(config['configurable']['word'])", "factory", "asked"),
    "config_typed": ("def graph(c: RunnableConfig): return build(c['configurable']['word'])", "factory", "asked"),
    "runtime": (
        "def graph(runtime): return build(runtime.access_context + str(runtime.execution_runtime is runtime))",
        "factory",
        "threads.create_runTrue",
    ),
    "both": (
        "def graph(config: RunnableConfig, r: ServerRuntime):\n"
        "    return build(config['configurable']['word'] + type(r.store).__name__)",
        "factory",
        "askedInMemoryStore",
    ),
    "any_name": ("def graph(cfg): return build(cfg['configurable']['word'])", "factory", "asked"),
    "any_name_with_default": ("def graph(cfg=None): return build(cfg['configurable']['word'])", "factory", "asked"),
    "keyword_only": ("def graph(*, cfg): return build(cfg['configurable']['word'])", "factory", "asked"),
    "runtime_and_optional_argument": ("def graph(runtime, word='own'): return build(word)", "factory", "own"),
    "optional_argument": ("def graph(config, word='own'): return build(word)", "factory", "own"),
    "object": (
        "class Maker:\n    def __call__(self, config): return build(config['configurable']['word'])\ngraph = Maker()",
        "factory",
        "asked",
    ),
    "async_object": (
        "class Maker:\n    async def __call__(self, config): return build(config['configurable']['word'])\n"
        "graph = Maker()",
        "factory",
        "asked",
    ),
    "current_config": ("def graph(): return build(get_config()['configurable']['word'])", "factory", "asked"),
    "current_config_async": (
        "async def graph(): return build(get_config()['configurable']['word'])",
        "factory",
        "asked",
    ),
    "current_config_async_context_manager": (
        "@contextlib.asynccontextmanager\nasync def graph():\n    yield build(get_config()['configurable']['word'])",
        "factory",
        "asked",
    ),
    "async": ("async def graph(): return build().compile()", "factory", "plain"),
    "async_context_manager": (
        "@contextlib.asynccontextmanager\n"
        "async def graph(config):\n"
        "    log.append('in')\n"
        "    yield build(config['configurable']['word'])\n"
        "    log.append('out')",
        "factory",
        "asked",
    ),
    "async_generator": ("async def graph():\n    log.append('in')\n    yield build()", "factory", "plain"),
    "context_manager": (
        "@contextlib.contextmanager\ndef graph():\n    log.append('in')\n    yield build()\n    log.append('out')",
        "factory",
        "plain",
    ),
    "async_giving_a_context_manager": (
        "async def graph():\n    return contextlib.nullcontext(build())",
        "factory",
        "plain",
    ),
}
CONFIG = {"configurable": {"thread_id": "t", "word": "asked"}}


def project(folder, body=None, **files):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    manifest = {"dependencies": ["."], "graphs": {name: f"./{name}.py:graph" for name in files}}
    (folder / "langgraph.json").write_text(json.dumps(manifest | (body or {})))
    return load_graphs(read_manifest(folder / "langgraph.json"))


@pytest.mark.parametrize("form", FORMS)
async def test_a_graph_in_each_form_runs(tmp_path, form):
    text, kind, seen = FORMS[form]
    graphs = project(tmp_path, **{form: HEAD + text})
    assert [graph.kind for graph in graphs] == [kind]
    async with graphs.open(form, CONFIG, context={}) as graph:
        assert await graph.ainvoke({}, CONFIG) == {"seen": seen}
        assert node_names(graph) == {"node"}


async def test_a_factory_sees_whether_its_graph_runs_and_the_runs_values(tmp_path):
    seen = "[runtime.access_context, getattr(runtime.execution_runtime, 'context', None)]"
    text = f"def graph(runtime): return build({seen})"
    graphs = project(tmp_path, asked=HEAD + text)
    for context, seen in (
        (None, ["assistants.read", None]),
        ({"user": "ann"}, ["threads.create_run", {"user": "ann"}]),
    ):
        async with graphs.open("asked", CONFIG, context=context) as graph:
            assert await graph.ainvoke({}, CONFIG) == {"seen": seen}


@pytest.mark.parametrize("form", ["async_context_manager", "context_manager"])
async def test_a_context_manager_lives_as_long_as_the_run(tmp_path, form):
    graphs = project(tmp_path, **{form: HEAD + FORMS[form][0]})
    log = sys.modules[f"langgraph_project__{form}"].log
    async with graphs.open(form, CONFIG):
        assert log == ["in"]
    assert log == ["in", "out"]


async def test_a_factory_cannot_change_the_runs_config(tmp_path):
    text = "def graph(config):\n    config['configurable']['thread_id'] = 'other'\n    return build()"
    graphs = project(tmp_path, naughty=HEAD + text)
    async with graphs.open("naughty", CONFIG):
        assert CONFIG["configurable"]["thread_id"] == "t"


async def test_the_current_config_of_a_factory_is_no_longer_there_after_it(tmp_path):
    graphs = project(tmp_path, asked=HEAD + FORMS["current_config_async"][0])
    async with graphs.open("asked", CONFIG):
        with pytest.raises(RuntimeError, match="outside of a runnable context"):
            get_config()


async def test_a_blocking_factory_does_not_run_on_the_event_loop(tmp_path):
    text = "import threading\ndef graph(): return build(threading.current_thread().name)"
    graphs = project(tmp_path, blocking=HEAD + text)
    async with graphs.open("blocking", CONFIG) as graph:
        assert (await graph.ainvoke({}, CONFIG))["seen"] != "MainThread"


async def test_a_graphs_own_memory_is_kept(tmp_path):
    text = "from langgraph.store.memory import InMemoryStore\nown = InMemoryStore()\ngraph = build().compile(store=own)"
    graphs = project(tmp_path, own=HEAD + text, bare=HEAD + "graph = build()")
    async with graphs.open("own", CONFIG) as graph:
        assert graph.store is sys.modules["langgraph_project__own"].own
    async with graphs.open("bare", CONFIG) as graph:
        assert graph.store is not None


async def test_an_existing_project_runs_unchanged(tmp_path):
    shutil.copytree(PLAIN, tmp_path / "project")
    (tmp_path / "project" / ".env").write_text("GREETING=Ahoy\n")
    graphs = load_graphs(read_manifest(tmp_path / "project" / "langgraph.json"))
    assert graphs.names == {"agent", "summary"}
    async with graphs.open("agent", CONFIG) as graph:
        answer = await graph.ainvoke({"messages": [{"role": "user", "content": "hello"}]}, CONFIG)
    assert answer["messages"][-1].content == "Ahoy! You said: hello"
    async with graphs.open("summary", {"configurable": {"words": 2}}) as graph:
        assert (await graph.ainvoke({"text": "one two three"}))["summary"] == "one two"
    # A file in a package is imported once, under the name that the rest of the project uses.
    assert "my_agent.agent" in sys.modules


def test_the_environment_wins_over_the_manifest(tmp_path, monkeypatch):
    monkeypatch.setenv("WORD", "outside")
    project(tmp_path, {"env": {"WORD": "inside", "OTHER_WORD": "x"}}, a=HEAD + "graph = build()")
    assert (os.environ["WORD"], os.environ["OTHER_WORD"]) == ("outside", "x")


def test_relative_imports_work_in_a_package(tmp_path):
    package = tmp_path / "relative_agent"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text(HEAD)
    (package / "main.py").write_text("from .parts import build\ngraph = build()")
    graphs = project(tmp_path, {"graphs": {"a": "./relative_agent/main.py:graph"}})
    assert graphs.names == {"a"}


def test_a_module_by_its_dotted_name(tmp_path):
    (tmp_path / "dotted_agent.py").write_text(HEAD + "graph = build()")
    assert project(tmp_path, {"graphs": {"a": "dotted_agent:graph"}}).names == {"a"}


@pytest.mark.parametrize(
    ("entry", "text", "reason"),
    [
        ("./gone.py:graph", "", "gone.py. Correct the path in langgraph.json"),
        ("./aa.py:graph", "", "aa.py. Did you mean './a.py'? Correct the path in langgraph.json"),
        ("../gone.py:graph", "", "gone.py. Correct the path in langgraph.json"),
        ("gone_module:graph", "", "importing it raises ModuleNotFoundError"),
        ("./a.py:graph", "import no_such_package", "importing it raises ModuleNotFoundError: No module named"),
        ("./a.py:graph", "def broken(:", "importing it raises SyntaxError"),
        ("./a.py:graph", "raise OSError('no model server')", "importing it raises OSError: no model server"),
        ("./a.py:graph", "import sys; sys.exit(0)", "importing it raises SystemExit: 0"),
        ("./a.py:graph", "grahp = 1", "there is no 'graph' in ./a.py. Did you mean 'grahp'?"),
        ("./a.py:graph", "", "there is no 'graph' in ./a.py. Correct the name in langgraph.json"),
        ("./a.py:graph", HEAD + "graph = StateGraph(State)", "it does not compile: Graph must have an entrypoint"),
        ("./a.py:graph", "graph = 1", "'graph' is an int, not a compiled graph"),
    ],
)
def test_what_cannot_be_loaded_is_named_with_graph_file_and_reason(tmp_path, entry, text, reason):
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(GraphLoadError) as caught:
        project(tmp_path, {"graphs": {"desk": entry}})
    message = str(caught.value)
    assert message.startswith("graph 'desk' (")
    assert entry in message
    assert str(tmp_path / "langgraph.json") in message
    assert reason in message


def test_the_file_that_was_probably_meant_is_found_over_any_way_to_the_project(tmp_path):
    (tmp_path / "agent.py").write_text("")
    (tmp_path / "beside").mkdir()
    (tmp_path / "langgraph.json").write_text(json.dumps({"graphs": {"desk": "./agnet.py:graph"}}))
    with pytest.raises(GraphLoadError, match=r"Did you mean '\./agent\.py'\?"):
        load_graphs(read_manifest(tmp_path / "beside" / ".." / "langgraph.json"))


async def test_a_factory_that_runs_out_of_an_iterator_ends_its_run(tmp_path):
    graphs = project(tmp_path, out=HEAD + "def graph(): return next(x for x in [])")
    with pytest.raises(RuntimeError, match="StopIteration"):
        async with graphs.open("out", CONFIG):
            pass


async def test_a_factory_that_gives_no_graph_is_named(tmp_path):
    graphs = project(tmp_path, text=HEAD + "def graph(): return 'a text'")
    with pytest.raises(GraphLoadError, match=r"graph 'text' \(./text.py:graph\): it gave a str"):
        async with graphs.open("text", CONFIG):
            pass


WITH_SETTINGS = """
from pydantic import BaseModel
class Settings(BaseModel):
    port: int
Settings.model_validate({"api_key": "sk-geheim"})
"""


def test_a_project_that_does_not_like_its_settings_shows_no_value_of_them(tmp_path):
    with pytest.raises(GraphLoadError, match=r"importing it raises ValidationError: Settings: port: Field") as caught:
        project(tmp_path, a=WITH_SETTINGS + HEAD + "graph = build()")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("where", ["module", "node"])
async def test_a_client_without_a_url_says_that_a_worker_is_no_server(tmp_path, where):
    call = "client = get_client()\n" if where == "module" else ""
    inside = "" if where == "module" else "    client = get_client()\n"
    text = (
        f"from langgraph_sdk import get_client\n{call}"
        f"async def ask(state):\n{inside}    return await client.threads.create()\n"
        "graph = StateGraph(State).add_node(ask).add_edge(START, 'ask').compile()\n"
    )
    graphs = project(tmp_path, client=HEAD + text)
    async with graphs.open("client", CONFIG) as graph:
        with pytest.raises(NoServerError, match=r'a worker is no server. Name one: get_client\(url="https://'):
            await graph.ainvoke({}, CONFIG)
    with pytest.raises(ModuleNotFoundError):
        import langgraph_api  # noqa: F401 - nothing takes the worker for the server
