"""``langgraph-worker try``: a graph runs here, as a worker would run it, without Kafka."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from langgraph_worker.domain.redaction import Redactor
from langgraph_worker.errors import SettingsError, WorkerError
from tests.support.commands import Project

ROOT = Path(__file__).resolve().parents[4]
CODE = """
    import operator
    from typing import Annotated, Any, TypedDict

    from langgraph.config import get_stream_writer
    from langgraph.graph import START, StateGraph
    from langgraph.types import interrupt


    class State(TypedDict, total=False):
        x: Any
        log: Annotated[list[Any], operator.add]


    def double(state, config):
        get_stream_writer()({"seen": state["x"]})
        return {"x": state["x"] * 2, "log": [config["configurable"].get("user")]}


    def ask(state):
        return {"log": [interrupt("sure?")]}


    def ask_more(state):
        return {"log": [interrupt("really?")]}


    def fail(state):
        raise ValueError("no paper")


    def chain(*nodes):
        return StateGraph(State).add_sequence(list(nodes)).add_edge(START, nodes[0].__name__).compile()


    doubles, asks, fails = chain(double), chain(double, ask), chain(fail)
    both = StateGraph(State).add_node(ask).add_node(ask_more)
    both = both.add_edge(START, "ask").add_edge(START, "ask_more").compile()
"""

PRINTS = """
    print("imported")


    async def node(state):
        print("a node")
        return {"log": ["a node"]}


    def threaded(state):
        print("a thread")
        return {"log": ["a thread"]}


    prints = chain(node, threaded)
"""


@pytest.fixture(autouse=True)
def graphs(project: Project) -> None:
    project.write(CODE, "doubles", "asks", "fails", "both")


class Shown:
    """What a command has printed since the last look."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.err = ""

    def result(self) -> dict[str, Any]:
        """Standard output, which is one JSON value."""
        out, self.err = self._capsys.readouterr()
        return json.loads(out)


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    return Shown(capsys)


def test_the_result_is_on_stdout_and_the_progress_on_stderr(project: Project, shown: Shown):
    assert project.call("try", "doubles", "--input", '{"x": 3}') == 0
    found = shown.result()
    assert found["status"] == "success"
    assert found["result"] == {"x": 6, "log": [None]}
    assert shown.err.splitlines()[:2] == ["double ...", 'stream: {"seen": 3}']
    assert shown.err.splitlines()[2].startswith("double completed in ")


def test_what_a_graph_prints_is_not_in_the_result(project: Project, shown: Shown):
    project.write(CODE + PRINTS, "prints")
    assert project.call("try", "prints", "--input", '{"x": 3}') == 0
    assert shown.result()["result"] == {"x": 3, "log": ["a node", "a thread"]}
    assert {"imported", "a node", "a thread"} <= set(shown.err.splitlines())


def test_no_setting_of_kafka_is_needed_and_the_fleets_store_is_not_touched(
    project: Project, shown: Shown, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "nobody.invalid:1")
    monkeypatch.setenv("LANGGRAPH_WORKER_STORE_URL", "postgresql://nobody:x@nobody.invalid/x")
    assert project.call("try", "doubles", "--input", '{"x": 3}') == 0
    assert list(tmp_path.glob("*.db")) == []


def test_a_conversation_goes_on(project: Project, shown: Shown, tmp_path: Path):
    for number in (1, 2):
        assert project.call("try", "doubles", "--input", f'{{"x": {number}}}', "--thread", "talk") == 0
    assert shown.err == ""
    assert project.call("try", "doubles", "--input", '{"x": "a"}', "--thread", "talk", "--store", "other.db") == 0
    assert {path.name for path in tmp_path.glob("*.db")} == {"langgraph-try.db", "other.db"}


def test_each_turn_sees_the_one_before(project: Project, shown: Shown):
    assert project.call("try", "doubles", "--input", '{"x": 1}', "--thread", "talk") == 0
    shown.result()
    assert project.call("try", "doubles", "--input", '{"x": 2}', "--thread", "talk") == 0
    assert shown.result()["result"] == {"x": 4, "log": [None, None]}


def test_a_question_is_answered(project: Project, shown: Shown):
    assert project.call("try", "asks", "--input", '{"x": 1}', "--thread", "talk") == 3
    found = shown.result()
    assert found["status"] == "interrupted"
    assert [question["value"] for question in found["interrupts"]] == ["sure?"]
    assert project.call("try", "asks", "--answer", '{"ok": true}', "--thread", "talk") == 0
    assert shown.result()["result"]["log"] == [None, {"ok": True}]


def test_of_several_questions_each_answer_names_its_own(project: Project, shown: Shown):
    assert project.call("try", "both", "--thread", "talk") == 3
    asked = {question["value"]: question["id"] for question in shown.result()["interrupts"]}
    with pytest.raises(WorkerError, match=r"--answer: there are 2 questions\. Say which: --answer ID=JSON"):
        project.call("try", "both", "--thread", "talk", "--answer", '"yes"')
    answers = [f'{asked["sure?"]}="a"', f'{asked["really?"]}="b"']
    assert project.call("try", "both", "--thread", "talk", "--answer", answers[0], "--answer", answers[1]) == 0
    assert sorted(shown.result()["result"]["log"]) == ["a", "b"]


def test_an_input_for_a_conversation_that_waits_says_what_it_asks(project: Project, shown: Shown):
    assert project.call("try", "asks", "--input", '{"x": 1}', "--thread", "talk") == 3
    with pytest.raises(WorkerError, match=r"conversation 'talk' waits for an answer: give it with --answer") as error:
        project.call("try", "asks", "--input", '{"x": 2}', "--thread", "talk")
    assert '"sure?"' in str(error.value)
    shown.result()
    assert project.call("try", "asks", "--answer", "1", "--thread", "talk") == 0
    assert shown.result()["result"] == {"x": 2, "log": [None, 1]}  # the refused input is not kept


def test_a_question_that_waits_is_shown_redacted(project: Project, shown: Shown, monkeypatch: pytest.MonkeyPatch):
    assert project.call("try", "asks", "--input", '{"x": 1}', "--thread", "talk") == 3
    monkeypatch.setattr(Redactor, "shown", lambda self, place, value, path: f"{place} {path}")
    with pytest.raises(WorkerError) as error:
        project.call("try", "asks", "--input", '{"x": 2}', "--thread", "talk")
    assert str(error.value).endswith(': "show question"')


def test_config_reaches_the_graph_as_an_event_brings_it(project: Project, shown: Shown):
    config = '{"configurable": {"user": "ann"}}'
    assert project.call("try", "doubles", "--input", '{"x": 1}', "--config", config) == 0
    assert shown.result()["result"]["log"] == ["ann"]


@pytest.mark.parametrize(
    ("words", "error_type", "text"),
    [
        (["fails"], "ValueError", "node 'fail': ValueError: no paper"),
        (
            ["doubles", "--config", '{"configurable": {"api_key": "x"}}'],
            "config_not_allowed",
            "config.configurable.api_k",
        ),
        (["doubles", "--config", '{"recursion_limt": 1}'], "invalid_event", "field 'config.recursion_limt'"),
        (["doubles", "--input", '{"x": {"__overwrite__": 1}}'], "input_not_allowed", "payload.data.x"),
    ],
)
def test_what_fails_or_is_refused_is_a_result(project: Project, shown: Shown, words, error_type, text):
    assert project.call("try", *words) == 1
    found = shown.result()
    assert found["error_type"] == error_type
    assert text in found["error"]


def test_input_may_come_from_a_file_or_from_standard_input(
    project: Project, shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "in.json").write_text('{"x": "é"}', encoding="utf-8")
    assert project.call("try", "doubles", "--input", "@in.json") == 0
    assert shown.result()["result"]["x"] == "éé"
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"x": 7}'))
    assert project.call("try", "doubles", "--input", "-") == 0
    assert shown.result()["result"]["x"] == 14


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["doubles", "--input", "{x: 1}"], "--input: '{x: 1}' is no JSON"),
        (["doubles", "--input", "@gone.json"], "--input: file gone.json cannot be read: No such file"),
        (["doubles", "--context", "[1]"], "--context: must be a JSON object"),
        (["doubles", "--answer", "1"], "--answer: needs --thread"),
        (["doubles", "--answer", "1", "--input", "{}"], "--answer, --input: give one of the two"),
    ],
)
def test_a_wrong_command_line_names_the_flag(project: Project, words, text):
    with pytest.raises(SettingsError) as error:
        project.call("try", *words)
    assert text in str(error.value)


def test_a_graph_that_is_none_names_those_that_are(project: Project):
    with pytest.raises(WorkerError, match=r"has no graph 'zzz'\. It has asks, both, doubles, fails"):
        project.call("try", "zzz")


def test_a_broken_graph_stops_no_other_one(project: Project, shown: Shown):
    project.add("broken", "import nothing_of_that_name")
    assert project.call("try", "doubles", "--input", '{"x": 2}') == 0
    with pytest.raises(WorkerError, match=r"graph 'broken' .* importing it raises ModuleNotFoundError"):
        project.call("try", "broken")


def test_an_answer_to_nothing_is_refused(project: Project, shown: Shown):
    with pytest.raises(WorkerError, match=r"conversation 'new' asks nothing\. Give it an --input"):
        project.call("try", "asks", "--answer", "1", "--thread", "new")
    assert project.call("try", "asks", "--input", '{"x": 1}', "--thread", "talk") == 3
    asked = shown.result()["interrupts"][0]["id"]
    with pytest.raises(WorkerError, match=rf"does not ask 'abc', but {asked}"):
        project.call("try", "asks", "--answer", "abc=1", "--thread", "talk")


@pytest.mark.timeout(60)
def test_ctrl_c_cancels_the_run(tmp_path: Path, project: Project):
    project.write(
        """
        import asyncio
        from langgraph.graph import START, StateGraph


        async def sleep(state):
            if state.get("x"):
                await asyncio.sleep(600)
            return {"x": 0}


        sleeps = StateGraph(dict).add_node(sleep).add_edge(START, "sleep").compile()
        """,
        "sleeps",
    )
    words = [sys.executable, "-m", "langgraph_worker", "try", "sleeps", "--thread", "t", "--input"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([*words, '{"x": 1}'], cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "sleep ...\n"
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    # It left nothing that a later turn would have to finish first.
    done = subprocess.run([*words, "{}"], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["result"] == {"x": 0}
