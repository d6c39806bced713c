from __future__ import annotations

from dataclasses import replace

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_langgraph.exceptions import RunFailed, RunTimedOut, SettingsError
from airflow_provider_langgraph.operators.cancel import LangGraphCancelOperator
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.operators.resume import LangGraphResumeOperator
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.sensors.langgraph import LangGraphResultSensor
from tests.support.asking_task import TI_ID, Hook, context, fired
from workflow_events.identity import correlation_id

REQUEST = correlation_id(TI_ID)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
RUN, TRACED, THREAD = "_link_AgentRunLink", "_link_AgentTraceLink", "_link_AgentThreadLink"


@pytest.fixture
def hook(monkeypatch):
    hook = Hook()
    monkeypatch.setattr("airflow_provider_langgraph.hooks.kafka.KafkaHook", hook.make)
    return hook


@pytest.fixture(autouse=True)
def configured(monkeypatch):
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "test-airflow")
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__RUN_URL", "https://x.example/runs/{correlation_id}?try={task_id}")
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__TRACE_URL", "https://x.example/traces/{trace_id}")
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__THREAD_URL", "https://x.example/threads/{thread_name}")


@pytest.fixture
def traced(monkeypatch):
    monkeypatch.setenv("AIRFLOW__TRACES__OTEL_ON", "True")
    return {"context_carrier": {"traceparent": TRACEPARENT}}


def asking(pushed, **fields):
    return context(xcom_push=lambda key, value: pushed.update({key: value}), **fields)


def deferred(task, where):
    with pytest.raises(TaskDeferred):
        task.execute(where)


def shown(task):
    """What Airflow keeps when the task's process ends, whether it defers, succeeds or fails."""
    return {link.xcom_key: link.get_link(task, ti_key=None) for link in task.operator_extra_links}


def test_the_links_are_there_once_the_request_is_published_and_the_task_defers(hook, traced):
    pushed = {}
    task = LangGraphTriggerOperator(task_id="agent", defer_after=0, thread_id="talk/7")
    deferred(task, asking(pushed, **traced))
    assert pushed == {
        RUN: f"https://x.example/runs/{REQUEST}?try=agent",
        TRACED: f"https://x.example/traces/{TRACE}",
        THREAD: "https://x.example/threads/talk%2F7",
    }
    assert shown(task) == pushed
    assert hook.traceparents == [TRACEPARENT]


def test_what_is_not_known_has_no_link(hook):
    pushed = {}
    task = LangGraphTriggerOperator(task_id="agent", defer_after=0)
    deferred(task, asking(pushed))
    assert pushed.keys() == {RUN}
    assert shown(task) == pushed | {TRACED: "", THREAD: ""}
    assert hook.traceparents == [None]


def test_nothing_is_linked_before_a_request_is_out(hook):
    hook.missing = ["workflow-events"]
    pushed = {}
    task = LangGraphTriggerOperator(task_id="agent")
    with pytest.raises(Exception, match="no topic"):
        task.execute(asking(pushed))
    assert pushed == {}
    assert set(shown(task).values()) == {""}


@pytest.mark.parametrize(("status", "ends"), [("success", None), ("failure", RunFailed), ("timeout", RunTimedOut)])
def test_the_process_that_resumes_knows_the_links_again_and_the_results_thread(monkeypatch, status, ends):
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__THREAD_URL", "https://x.example/threads/{thread_id}")
    task = LangGraphTriggerOperator(task_id="agent")
    resumed = {"event": fired(status, thread_id="t-1")}
    if ends is None:
        task.resume_execution("execute_complete", resumed, asking({}))
    else:
        with pytest.raises(ends):
            task.resume_execution("execute_complete", resumed, asking({}))
    assert shown(task) == {
        RUN: f"https://x.example/runs/{REQUEST}?try=agent",
        TRACED: "",
        THREAD: "https://x.example/threads/t-1",
    }


def test_a_task_that_got_no_reply_keeps_its_links(hook):
    task = LangGraphTriggerOperator(task_id="agent", thread_id="talk")
    with pytest.raises(RunTimedOut):
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, asking({}))
    assert shown(task)[RUN].endswith(f"{REQUEST}?try=agent")
    assert shown(task)[THREAD].endswith("/talk")


def test_a_new_try_has_its_own_link(hook):
    links = []
    for number in (1, 2):
        task = LangGraphTriggerOperator(task_id="agent", defer_after=0)
        ti_id = TI_ID if number == 1 else "019a0000-0000-7000-8000-000000000002"
        deferred(task, asking({}, id=ti_id, try_number=number))
        links.append(shown(task)[RUN])
    assert links[0] != links[1]


@pytest.mark.parametrize("unknown", [{}, {"thread_id": "talk", "trace_id": TRACE}])
def test_the_sensor_and_the_cancel_link_to_the_request_that_they_are_about(hook, unknown):
    pushed = {}
    handle = LangGraphTriggerOperator(task_id="ask", wait_for_completion=False).execute(asking({}, task_id="ask"))
    handle = handle | unknown
    deferred(LangGraphResultSensor(task_id="answer", handle=handle, defer_after=0), asking(pushed, task_id="answer"))
    assert pushed[RUN] == f"https://x.example/runs/{REQUEST}?try=answer"
    assert (THREAD in pushed, TRACED in pushed) == (bool(unknown), bool(unknown))

    stop = LangGraphCancelOperator(task_id="stop", handle=handle)
    stop.execute(asking({}, task_id="stop"))
    assert shown(stop)[RUN] == f"https://x.example/runs/{REQUEST}?try=stop"
    by_id = LangGraphCancelOperator(task_id="stop", correlation_id=str(REQUEST))
    by_id.execute(asking({}, task_id="stop"))
    assert shown(by_id) == {RUN: f"https://x.example/runs/{REQUEST}?try=stop", TRACED: "", THREAD: ""}


def test_the_sensor_shows_the_trace_of_the_request_and_not_its_own(hook, traced):
    handle = RequestHandle.from_dict(
        LangGraphTriggerOperator(task_id="ask", wait_for_completion=False).execute(asking({}, **traced))
    )
    assert handle.trace_id == TRACE
    other = replace(handle, trace_id="f" * 32)
    sensor = LangGraphResultSensor(task_id="answer", handle=other.to_dict(), defer_after=0)
    deferred(sensor, asking({}, **traced))
    assert shown(sensor)[TRACED].endswith("f" * 32)


def test_an_answer_is_linked_to_its_own_request(hook):
    question = {"answers_to": str(REQUEST), "questions": [{"interrupt_id": "i1", "question": "?"}]}
    pushed = {}
    other = "019a0000-0000-7000-8000-000000000002"
    deferred(
        LangGraphResumeOperator(task_id="reply", question=question, answer="yes", defer_after=0),
        asking(pushed, id=other, task_id="reply"),
    )
    assert pushed == {RUN: f"https://x.example/runs/{correlation_id(other)}?try=reply"}


def test_a_wrong_template_is_one_warning_and_fails_no_task(hook, monkeypatch, capsys):
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__RUN_URL", "https://x.example/{corelation_id}")
    pushed = {}
    task = LangGraphTriggerOperator(task_id="agent", defer_after=0, thread_id="talk")
    deferred(task, asking(pushed))
    assert shown(task)[RUN] == ""
    [warned] = [line for line in capsys.readouterr().out.splitlines() if "The link" in line]
    assert (
        "The link 'Agent run' is not shown: [langgraph] run_url of Airflow's configuration: there is no field "
        "{corelation_id}. Did you mean 'correlation_id'? The fields are {correlation_id}, {dag_id}, "
    ) in warned
    assert pushed.keys() == {THREAD}


def test_an_xcom_that_cannot_be_written_fails_no_task(hook, capsys):
    def refuse(key, value):
        raise RuntimeError("no API")

    task = LangGraphTriggerOperator(task_id="agent", defer_after=0)
    deferred(task, context(xcom_push=refuse))
    assert "The link 'Agent run' cannot be shown yet: no API" in capsys.readouterr().out


@pytest.mark.parametrize("handle", ["{{ 1 }}", "{{{1}}}", "nothing", {}])
def test_what_is_wrong_with_the_links_hides_no_other_error(hook, handle):
    sensor = LangGraphResultSensor(task_id="answer", handle=handle)
    with pytest.raises(SettingsError, match="handle: "):
        sensor.resume_execution("execute_complete", {"event": fired("success")}, asking({}))
