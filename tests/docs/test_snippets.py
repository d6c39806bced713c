"""What a page gives a reader to write runs as it stands there."""

from __future__ import annotations

import ast
import asyncio
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from airflow.providers.common.compat.sdk import BaseOperator
from langgraph.graph import START, StateGraph
from langgraph.store.memory import InMemoryStore
from newsroom import editor

from airflow_provider_langgraph.exceptions import KafkaError, error_for
from airflow_provider_langgraph.hooks.kafka import KafkaHook
from langgraph_worker.api.problems import ProblemDocument
from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.graphs.manifest import read_manifest
from langgraph_worker.settings.explain import documentation
from tests.docs.snippets import ROOT, Snippet, files_of, snippets
from tests.support.airflow_parse import parse_dags
from workflow_events import GraphAnnouncement, WorkerAnnouncement, WorkflowEvent, WorkflowResultEvent

pytestmark = pytest.mark.timeout(120)  # it starts processes that import Airflow, or LangGraph

TUTORIAL = ROOT / "docs" / "tutorial.md"
PYTHON = snippets("python")
JSON = snippets("json")


def name(snippet: Snippet) -> str:
    return snippet.name


def execute(snippet: Snippet, **given: Any) -> dict[str, Any]:
    """Run a block; the names that it defines.

    :param given: what the page's text says the reader has already.
    """
    namespace = dict(given)
    exec(compile(snippet.text, snippet.name, "exec", dont_inherit=True), namespace)
    return namespace


def run_operator(snippet: Snippet) -> None:
    """It builds an operator."""
    operator = execute(snippet, prices=[])["agent"]
    assert isinstance(operator, BaseOperator)
    assert operator.task_id == "agent"


def run_node(snippet: Snippet) -> None:
    """It defines a node that buys something, once for each key."""

    class Exchange:
        keys: list[str] = []  # noqa: RUF012

        async def buy(self, symbol: str, idempotency_key: str) -> None:
            assert symbol == "MSFT"
            self.keys.append(idempotency_key)

    order = execute(snippet, exchange=Exchange())["order"]

    async def node(state: dict[str, Any]) -> dict[str, Any]:
        await order(state)
        return {}

    graph = StateGraph(dict).add_node("order", node).add_edge(START, "order").compile()
    asyncio.run(graph.ainvoke({"symbol": "MSFT"}, {"metadata": {"run_id": "a-run"}}))
    assert [str(UUID(key)) for key in Exchange.keys] == Exchange.keys
    assert len(Exchange.keys) == 1


def run_publisher(snippet: Snippet) -> None:
    """It publishes a plain event; the broker is left out."""
    published: list[WorkflowEvent] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KafkaHook, "publish", lambda hook, event, *_args, **_options: published.append(event))
        event = execute(snippet)["event"]
    assert published == [event]
    assert event.payload.data == {"task": "process_data"}


def run_remembering_node(snippet: Snippet) -> None:
    """It defines a node whose second run knows what its first has put."""
    defined = execute(snippet)
    builder = StateGraph(defined["State"]).add_node("greet", defined["greet"]).add_edge(START, "greet")
    graph = builder.compile(store=InMemoryStore())
    answers = [asyncio.run(graph.ainvoke({"user": "ann"}))["answer"] for _ in range(2)]
    assert answers == ["I do not know yet", "tea"]


def run_dag_file(snippet: Snippet) -> None:
    """It is a whole DAG file: Airflow's own checks run while it is read."""
    execute(snippet)


def run_callback(snippet: Snippet) -> None:
    """It defines a callback that takes whatever ends a task."""
    said: list[str] = []
    defined = execute(snippet)
    defined["notify"].__globals__["notify"] = said.append
    answer = {"correlation_id": UUID(int=1), "workflow_id": "w", "workflow_run_id": "r"}
    asks = {"status": "interrupted", "interrupts": [{"id": "i", "value": "buy?"}]}
    failed = {"status": "failure", "error": "node 'a': KeyError: 'b'", "error_type": "KeyError"}
    slow = {"status": "timeout", "error": "the deadline passed"}
    for result in (asks, failed, slow):
        error = error_for(WorkflowResultEvent.model_validate(answer | result))
        defined["report"]({"exception": error})
    defined["report"]({"exception": KafkaError("no broker")})
    starts = ("a person is asked: ['buy?']", "KeyError in request ", "too slow: ", "not the agent: no broker")
    assert [line.startswith(start) for line, start in zip(said, starts, strict=True)] == [True] * 4


def run_model_graph(snippet: Snippet) -> None:
    """It defines a graph that compiles; its model is not asked."""
    assert execute(snippet)["graph"].compile().get_graph().nodes


def run_claim_reader(snippet: Snippet) -> None:
    """It defines a node that reads what an address names."""
    with tempfile.TemporaryDirectory() as folder:
        claim = Path(folder, "report.txt")
        claim.write_text("12345")
        assert asyncio.run(execute(snippet)["summarize"]({"report": f"file://{claim}"})) == {"summary": "5 characters"}


def run_sensor(snippet: Snippet) -> None:
    """It builds a sensor."""
    sensor = execute(snippet)["answer"]
    assert isinstance(sensor, BaseOperator)
    assert "handle" in sensor.template_fields


def run_redaction(snippet: Snippet) -> None:
    """It defines a project's function."""
    redactor = Redactor((), execute(snippet)["redact"])
    customer: dict[str, Any] = {"name": "Erika", "pays": "DE02120300000000202051", "sum": 7}
    expected = {"customer": {"name": "[name]", "pays": "[iban]", "sum": 7}}
    assert redactor.value("result", {"customer": customer}, "result") == expected


def run_traced_node(snippet: Snippet) -> None:
    """It defines a node that makes a span of its own; nothing records it."""
    builder = StateGraph(dict).add_node("read", execute(snippet)["read_book"]).add_edge(START, "read")
    asyncio.run(builder.compile().ainvoke({}))


def run_announcements(snippet: Snippet) -> None:
    """It defines a function that names the graphs of all workers; the broker is left out."""
    desk = GraphAnnouncement(graph="desk")
    worker = WorkerAnnouncement(worker_id="one", events_topic="e", graphs={"desk": desk.digest})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(KafkaHook, "announcements", lambda hook: [worker, desk])
        assert execute(snippet)["announced_graphs"]() == {"desk"}


RUN: dict[str, Callable[[Snippet], None]] = {
    "@dag(": run_dag_file,
    "on_failure_callback=": run_callback,
    "ChatOllama(": run_model_graph,
    "fsspec.open(": run_claim_reader,
    "LangGraphTriggerOperator(": run_operator,
    "MultiAgentOperator(": run_operator,
    "LangGraphOperator(": run_operator,
    "LangGraphResultSensor(": run_sensor,
    "idempotency_key()": run_node,
    "announcements()": run_announcements,
    "publish_workflow_event(": run_publisher,
    "runtime.store": run_remembering_node,
    "start_as_current_span(": run_traced_node,
    "def redact(": run_redaction,
}
"""How a Python block is run, by the first of these that it contains."""

EXAMPLES = {
    name: (ROOT / "example_dags" / f"{name}.py").read_text().partition(f"# [START {name}]\n")[2].partition("# [END")[0]
    for name in (
        "example_langgraph",
        "example_langgraph_agent",
        "example_langgraph_approval",
        "example_langgraph_cancel_and_retry",
        "example_langgraph_conversation",
        "example_langgraph_decorator",
        "example_langgraph_mapped",
        "example_langgraph_multi_agent",
        "example_langgraph_options",
        "example_langgraph_result_sensor",
        "example_langgraph_resume",
    )
}


@pytest.mark.timeout(120)  # the first one imports Airflow
@pytest.mark.parametrize("snippet", PYTHON, ids=name)
def test_a_python_block_runs(snippet):
    if snippet.text in EXAMPLES.values():
        return  # the example's own tests run it, and a page that says something else fails below
    run = next(RUN[mark] for mark in RUN if mark in snippet.text)  # a new kind of block needs an entry there
    run(snippet)


def test_the_pages_show_the_examples_as_they_are():
    assert set(EXAMPLES.values()) <= {snippet.text for snippet in PYTHON}


def test_no_page_has_what_a_code_host_shows_as_an_empty_block_or_link():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        assert not re.findall(r"^```\{|\{term\}|\[\]\(", page.read_text(), re.MULTILINE), page


@pytest.mark.parametrize("snippet", snippets("ini"), ids=name)
def test_what_a_service_sets_are_settings_of_the_worker(snippet):
    known = {setting.env for setting in documentation()}
    assert set(re.findall(r"^((?:KAFKA|LANGGRAPH_WORKER)_\w+)=", snippet.text, re.MULTILINE)) <= known


@pytest.mark.parametrize("snippet", snippets("bash"), ids=name)
def test_a_wheel_is_found_whatever_its_version_is(snippet):
    """A bare pattern would not do: no file's name ends with an extra."""
    found = "$(ls dist/airflow_provider_langgraph-*.whl)["
    assert all(found in line for line in snippet.text.splitlines() if ".whl" in line)


def test_systemd_waits_longer_than_the_worker_drains():
    text = (ROOT / "docs" / "how-to" / "deploy-with-systemd.md").read_text()
    [drain] = re.findall(r"^LANGGRAPH_WORKER_DRAIN_SECONDS=(\d+)$", text, re.MULTILINE)
    [stop] = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert int(stop) >= int(drain) + 10


@pytest.mark.parametrize("snippet", JSON, ids=name)
def test_a_json_block_is_what_its_page_says(snippet, tmp_path):
    value = json.loads(snippet.text)
    if "graphs" in value:
        (tmp_path / "langgraph.json").write_text(snippet.text)
        (tmp_path / ".env").touch()
        assert {graph.name for graph in read_manifest(tmp_path / "langgraph.json").graphs} == set(value["graphs"])
    elif "event_type" in value:
        assert WorkflowEvent.model_validate_json(snippet.text).workflow_id == value["workflow_id"]
    elif "errors" in value:
        assert ProblemDocument.model_validate(value).model_dump() == value
    elif "agents" in value:  # what an orchestrator is given
        assert editor.invoke(value)["next"] == "writer"
    elif "next" in value:  # and what it answers
        [given] = [json.loads(one.text) for one in JSON if one.page == snippet.page and one != snippet]
        assert editor.invoke(given) == value
    else:
        address = {"correlation_id": UUID(int=1), "workflow_id": "w", "workflow_run_id": "r"}
        result = WorkflowResultEvent.model_validate({**address, **value})
        assert result.interrupts


@pytest.mark.parametrize("snippet", snippets("bash"), ids=name)
def test_a_shell_block_is_read_by_a_shell(snippet):
    subprocess.run(["bash", "-n"], input=snippet.text, text=True, check=True)


WITH_COMMANDS = {"runs", "dlq"}
"""The worker's commands that have commands of their own."""


@functools.cache
def flags_of(*command: str) -> frozenset[str]:
    """The flags of one of the worker's commands."""
    command_line = [sys.executable, "-m", "langgraph_worker", *command, "--help"]
    shown = subprocess.run(command_line, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return frozenset(re.findall(r"--[a-z-]+", shown))


@pytest.mark.parametrize("snippet", snippets("bash", "console"), ids=name)
def test_the_workers_commands_and_flags_exist(snippet):
    for line in re.findall(r"langgraph-worker ((?:[^\n#\\]|\\\n)+)", snippet.text):
        words = line.split()
        command = words[: 2 if words[0] in WITH_COMMANDS else 1]
        assert set(re.findall(r"--[a-z-]+", line)) <= flags_of(*command)


@pytest.mark.parametrize("make", re.findall(r"`?make ([a-z-]+)", "".join(page.read_text() for page in [TUTORIAL])))
def test_a_make_target_exists(make):
    assert re.search(rf"^{make}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the tutorial writes."""
    folder = tmp_path_factory.mktemp("tutorial")
    for path, text in files_of(TUTORIAL).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def test_the_tutorials_files_are_found(tutorial):
    assert {str(path.relative_to(tutorial)) for path in tutorial.rglob("*.*")} == {
        "my_agent/agent.py",
        "my_agent/langgraph.json",
        "example_dags/my_first_agent.py",
    }
    for path in tutorial.rglob("*.py"):
        ast.parse(path.read_text())


@pytest.mark.timeout(60)
def test_the_tutorials_graph_loads_and_counts(tutorial):
    listed = subprocess.run(
        [sys.executable, "-m", "langgraph_worker", "graphs", "--langgraph-json", tutorial / "my_agent/langgraph.json"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "my_agent" in listed.stdout
    written: dict[str, Any] = {}
    exec(compile((tutorial / "my_agent/agent.py").read_text(), "agent.py", "exec", dont_inherit=True), written)
    text = re.search(r'Param\("([^"]+)"', TUTORIAL.read_text())[1]
    answer = asyncio.run(written["graph"].compile().ainvoke({"text": text}))
    assert f"`{answer['words']} words: {answer['verdict']}`" in TUTORIAL.read_text()


@pytest.mark.timeout(120)  # starts an Airflow
def test_airflow_parses_the_tutorials_dag(tutorial, tmp_path):
    parsed = parse_dags(tutorial / "example_dags", tmp_path)
    assert parsed["errors"] == {}
    assert parsed["dags"] == {"my_first_agent": {"agent": ["report"], "report": []}}


@pytest.mark.timeout(60)
def test_worker_and_dag_of_the_tutorial_name_one_fleet():
    [of_worker] = re.findall(r"--fleet (\S+)", TUTORIAL.read_text())
    [of_dag] = re.findall(r'fleet="(\w+)"', TUTORIAL.read_text())
    assert of_worker == of_dag
