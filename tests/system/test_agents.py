"""A real scheduler, triggerer and worker over the broker of this run: what a DAG author sees."""

from __future__ import annotations

import json
import re
from pathlib import Path
from uuid import UUID

import pytest

from devtools.processes import wait_until
from workflow_events.identity import correlation_id

pytestmark = [pytest.mark.system, pytest.mark.integration, pytest.mark.timeout(300), pytest.mark.usefixtures("worker")]


class Folder:
    """What one run's graph reads and writes outside of itself."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open_gate(self) -> None:
        (self.path / "gate").touch()

    def break_with(self, exception: str) -> None:
        (self.path / "broken").write_text(exception)

    def mend(self) -> None:
        (self.path / "broken").unlink()

    @property
    def ledger(self) -> list[str]:
        return (self.path / "ledger").read_text().splitlines()


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


@pytest.fixture
def run(airflow, folder):
    """Starts a run of one of the DAGs whose graph reads and writes in ``folder``."""

    def start(dag_id, **conf):
        return airflow.run_dag(dag_id, {"folder": str(folder.path), "name": dag_id, **conf})

    return start


def test_a_task_defers_while_the_agent_works_and_returns_its_result(airflow, run, folder):
    run_id = run("deferred")
    task = airflow.wait_for_task("deferred", run_id, "agent", "deferred")
    folder.open_gate()

    assert airflow.wait_for_run("deferred", run_id) == "success"
    assert airflow.api.xcom("deferred", run_id, "agent") == {
        "folder": str(folder.path),
        "name": "deferred",
        "answer": "done for deferred",
    }
    log = airflow.api.logs("deferred", run_id, "agent")
    request = str(correlation_id(UUID(task.id)))
    assert f"Published request {request} to" in log
    assert "Asked graph ledger; " in log
    assert re.search(rf"Waiting for the answer, until .* UTC at the latest \(request {request[:8]} on ", log)
    assert re.search(rf"The agent succeeded in .* \(request {request[:8]}, ", log)
    assert "done for deferred" not in log  # a result may be large or secret


def test_a_function_that_made_the_input_is_not_called_again_when_its_task_resumes(airflow, run, folder):
    run_id = run("decorated")
    airflow.wait_for_task("decorated", run_id, "agent", "deferred")
    folder.open_gate()

    assert airflow.wait_for_run("decorated", run_id) == "success"
    result = airflow.api.xcom("decorated", run_id, "agent")
    assert result == {
        "folder": str(folder.path),
        "name": "{{ dag_run.run_id }}",
        "answer": "done for {{ dag_run.run_id }}",
    }
    assert (folder.path / "calls").read_text() == "called\n"


def test_a_task_whose_agent_answers_soon_is_never_deferred(airflow, run, folder):
    folder.open_gate()
    run_id = run("answered_soon")

    assert airflow.wait_for_run("answered_soon", run_id) == "success"
    assert airflow.api.xcom("answered_soon", run_id, "agent")["answer"] == "done for answered_soon"
    log = airflow.api.logs("answered_soon", run_id, "agent")
    assert "The agent succeeded in" in log
    assert "DEFERRED" not in log
    assert "Waiting for the answer" not in log  # no trigger was there


def test_a_retry_resumes_and_pays_for_no_finished_node_again(airflow, run, folder):
    folder.open_gate()
    folder.break_with("OSError")
    run_id = run("retried")
    airflow.wait_for_task("retried", run_id, "agent", "up_for_retry")
    folder.mend()

    assert airflow.wait_for_run("retried", run_id) == "success"
    assert folder.ledger == ["retried:first", "retried:second", "retried:second"]
    log = airflow.api.logs("retried", run_id, "agent", 1)
    assert re.search(r"RunFailed: node '\w+': OSError.* \(status failure, OSError; ", log)


def test_what_a_retry_cannot_help_is_not_retried(airflow, run, folder):
    folder.open_gate()
    folder.break_with("TypeError")
    run_id = run("retried")

    assert airflow.wait_for_run("retried", run_id) == "failed"
    assert airflow.api.task_instance("retried", run_id, "agent").try_number == 1
    log = airflow.api.logs("retried", run_id, "agent")
    assert "FinalRunFailed" in log
    assert "the market is closed" in log
    assert "a retry cannot help" in log
    assert "The agent's graph raised TypeError. Traceback" in log
    assert ".read_text())" in log  # the line of the graph's file


def test_clearing_a_finished_task_asks_again(airflow, run, folder):
    folder.open_gate()
    run_id = run("deferred")
    assert airflow.wait_for_run("deferred", run_id) == "success"
    airflow.api.clear("deferred", run_id, ["agent"])
    airflow.wait_for_task("deferred", run_id, "agent", "deferred", "running")

    assert airflow.wait_for_run("deferred", run_id) == "success"
    assert folder.ledger == ["deferred:first", "deferred:second"] * 2


def test_a_reply_that_comes_while_no_triggerer_runs_is_not_missed(airflow, run, folder):
    run_id = run("deferred")
    airflow.wait_for_task("deferred", run_id, "agent", "deferred")
    for triggerer in airflow.triggerers:
        airflow.kill(triggerer)
    folder.open_gate()
    for triggerer in airflow.triggerers:
        airflow.launch_triggerer(triggerer)

    assert airflow.wait_for_run("deferred", run_id) == "success"
    assert folder.ledger == ["deferred:first", "deferred:second"]


def test_mapped_tasks_each_get_their_own_answer(airflow, run, folder):
    folder.open_gate()
    run_id = run("mapped")

    assert airflow.wait_for_run("mapped", run_id) == "success"
    answers = [airflow.api.xcom("mapped", run_id, "agent", map_index=number) for number in range(4)]
    assert [answer["answer"] for answer in answers] == [f"done for n{number}" for number in range(4)]


def test_a_question_is_in_the_log_and_in_an_xcom_and_can_be_answered_as_the_log_says(airflow, run, system_topics):
    run_id = run("asks")
    assert airflow.wait_for_run("asks", run_id) == "failed"

    log = airflow.api.logs("asks", run_id, "agent")
    question = airflow.api.xcom("asks", run_id, "agent", "question")
    [asked] = question["questions"]
    assert asked["question"] == '{"question": "Buy?"}'
    assert f'The graph asks: {{"question": "Buy?"}} [interrupt id {asked["interrupt_id"]}]' in log
    assert "FinalRunInterrupted" in log

    event = {
        "event_type": "workflow.resumed",
        "source": "fastapi",
        "workflow_id": question["workflow_id"],
        "workflow_run_id": question["workflow_run_id"],
        "round": 1,
        "answers_to": question["answers_to"],
        "answers": [{"interrupt_id": asked["interrupt_id"], "value": "yes"}],
    }
    system_topics.produce(system_topics.fleet.events, json.dumps(event))

    def answered():
        results = [json.loads(message.value()) for message in system_topics.read_all(system_topics.fleet.results)]
        return [
            one["result"]["answer"]
            for one in results
            if one["workflow_run_id"] == run_id and one["status"] == "success"
        ]

    assert wait_until("the answer to reach the graph", answered, timeout=60, interval=0.5) == ["a person said yes"]


def test_what_other_tasks_return_can_be_passed_on_in_a_native_dag(airflow, run, system_topics):
    run_id = run("passed_on", thread="12_34")

    assert airflow.wait_for_run("passed_on", run_id) == "success"
    events = [json.loads(message.value()) for message in system_topics.read_all(system_topics.fleet.events)]
    [event] = [event for event in events if event["workflow_run_id"] == run_id]
    assert event["payload"]["data"] == {
        "task": "pass on",
        "names": ["n1", "n2"],
        "more": {"day": "2026-11-30", "price": "1.25", "tags": ["a", "b"], "pair": [1, 2]},
    }
    assert (event["thread_id"], event["workflow_id"]) == ("12_34", "42")


def test_a_blocking_task_returns_the_same(airflow, run, folder):
    folder.open_gate()
    run_id = run("blocking")

    assert airflow.wait_for_run("blocking", run_id) == "success"
    assert airflow.api.xcom("blocking", run_id, "agent")["answer"] == "done for blocking"


def test_without_waiting_the_handle_is_returned(airflow, run, folder):
    folder.open_gate()
    run_id = run("unawaited")

    assert airflow.wait_for_run("unawaited", run_id) == "success"
    handle = airflow.api.xcom("unawaited", run_id, "agent")
    task = airflow.api.task_instance("unawaited", run_id, "agent")
    assert handle["correlation_id"] == str(correlation_id(UUID(task.id)))


@pytest.mark.parametrize(
    ("dag_id", "says"),
    [
        ("impatient", "RunTimedOut: the deadline "),
        ("misdirected", "cannot use topic no-such-topic: UNKNOWN_TOPIC_OR_PART"),
        ("not_json", "SettingsError: input.when: "),
        ("unknown_graph", "(status error, unknown_graph; a retry cannot help; "),
    ],
)
def test_what_goes_wrong_is_in_the_tasks_log(airflow, run, dag_id, says):
    run_id = run(dag_id)

    assert airflow.wait_for_run(dag_id, run_id) == "failed"
    assert says in airflow.api.logs(dag_id, run_id, "agent")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("object", "at result['answer'][0] it has '__type', '__var', of which Airflow makes objects"),
        ("nul", "at result['answer']['text'] it has a NUL character"),
    ],
)
def test_a_result_that_airflow_would_obey_or_cannot_keep_fails_the_task_and_is_not_paid_again(
    airflow, run, folder, kind, says
):
    run_id = run("hostile", kind=kind)

    assert airflow.wait_for_run("hostile", run_id) == "failed"
    assert airflow.api.task_instance("hostile", run_id, "agent").try_number == 1
    assert says in airflow.api.logs("hostile", run_id, "agent")
    assert folder.ledger == [kind]


def test_as_text_the_next_task_gets_such_a_result_as_plain_values(airflow, run, folder):
    run_id = run("hostile_as_text", kind="object")

    assert airflow.wait_for_run("hostile_as_text", run_id) == "success"
    assert airflow.api.xcom("hostile_as_text", run_id, "read").startswith("str: [{'__type': 'airflow.sdk.def")


def test_the_examples_run(airflow):
    report = airflow.run_dag("example_langgraph")
    options = airflow.run_dag("example_langgraph_options")
    functions = airflow.run_dag("example_langgraph_decorator")
    agents = airflow.run_dag("example_langgraph_agent")
    asking = airflow.run_dag("example_langgraph_resume")
    several = airflow.run_dag("example_langgraph_multi_agent")

    assert airflow.wait_for_run("example_langgraph", report) == "success"
    assert "drawdown" in airflow.api.xcom("example_langgraph", report, "report")
    assert airflow.wait_for_run("example_langgraph_options", options) == "success"
    assert "say hello on 20" in json.dumps(airflow.api.xcom("example_langgraph_options", options, "templated"))
    assert airflow.wait_for_run("example_langgraph_decorator", functions) == "success"
    answers = airflow.api.xcom("example_langgraph_decorator", functions, "report")
    assert answers == ["echo: say hello to Ann", "echo: say hello to Bob"]
    assert airflow.wait_for_run("example_langgraph_agent", agents) == "success"
    assert airflow.api.xcom("example_langgraph_agent", agents, "second")["answer"] == "echo: echo: say hello"
    assert airflow.wait_for_run("example_langgraph_resume", asking) == "success"
    answer = airflow.api.xcom("example_langgraph_resume", asking, "answer")
    assert answer == {"order": "10 ACME", "decision": "bought"}
    assert airflow.wait_for_run("example_langgraph_multi_agent", several) == "success"
    chain = airflow.api.xcom("example_langgraph_multi_agent", several, "one_after_the_other")
    assert chain["reviewer"] == {"text": "the moon is in the news. nobody knows the moon.", "words": 10}
    routed = airflow.api.xcom("example_langgraph_multi_agent", several, "routed")
    assert routed["reviewer"] == chain["reviewer"]
    assert routed["orchestrator"] == {"next": "FINISH"}
