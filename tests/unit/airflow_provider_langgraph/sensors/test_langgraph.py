from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import UserList
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from airflow_provider_langgraph.exceptions import (
    FinalRunInterrupted,
    KafkaError,
    KafkaSettingsError,
    OutputSchemaError,
    RunCancelled,
    RunFailed,
    RunTimedOut,
    SettingsError,
    WaitError,
)
from airflow_provider_langgraph.operators.cancel import LangGraphCancelOperator
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.requests.cancel import CANCEL_SECONDS
from airflow_provider_langgraph.requests.deadline import GRACE, LEAST_WAIT, SAFETY_NET
from airflow_provider_langgraph.requests.handle import RequestHandle
from airflow_provider_langgraph.requests.reply import reply_of
from airflow_provider_langgraph.requests.topics import topics_of
from airflow_provider_langgraph.sensors.langgraph import LangGraphResultSensor
from workflow_events import WorkflowResultEvent
from workflow_events.codec import Record, encode

REQUEST = UUID("5b1e5c1c-0a8e-5b1f-9f65-8d6f0f2f4b11")
HANDLE = RequestHandle(
    correlation_id=REQUEST,
    workflow_id="report",
    workflow_run_id="run_1",
    kafka_config_id="kafka_risk",
    events_topic="risk.workflow-events",
    results_topic="risk.workflow-results",
    cluster="c",
    start_offsets={0: 7},
    deadline=datetime.now(UTC) + timedelta(hours=1),
    control_topic="risk.workflow-control",
    progress_topic="risk.workflow-progress",
).to_dict()


class Hook:
    """A hook that only takes note.

    :ivar made: the connections and timeouts with which hooks were made.
    """

    def __init__(self):
        self.made = []
        self.cancelled = []

    def make(self, kafka_config_id, *, fleet, timeout):
        self.made.append((kafka_config_id, timeout))
        self.topics = topics_of(fleet)
        return self

    def cancel(self, request, topic, *, reason):
        self.cancelled.append((request, topic))


@pytest.fixture
def hook(monkeypatch):
    hook = Hook()
    monkeypatch.setattr("airflow_provider_langgraph.hooks.kafka.KafkaHook", hook.make)
    return hook


def context(**fields):
    ti = SimpleNamespace(
        **{"id": UUID(int=1), "dag_id": "d", "run_id": "run_1", "task_id": "wait", "map_index": -1} | fields
    )
    ti.xcom_push = lambda key, value: None
    return {"ti": ti}


def sensor(**fields):
    return LangGraphResultSensor(**{"task_id": "wait", "handle": HANDLE, "defer_after": 0} | fields)


def fired(status, result=None, **fields):
    answer = WorkflowResultEvent(
        correlation_id=REQUEST,
        workflow_id="report",
        workflow_run_id="run_1",
        status=status,
        result=result,
        **fields,
    )
    message = encode(answer)
    return reply_of(Record("results", 0, 7, message.value, message.headers), str(REQUEST))


def deferred(task):
    with pytest.raises(TaskDeferred) as caught:
        task.execute(context())
    return caught.value


ASKED = [HANDLE, json.dumps(HANDLE), str(HANDLE), RequestHandle.from_dict(HANDLE)]


class TestHandle:
    @pytest.mark.parametrize("handle", ASKED, ids=["mapping", "JSON", "as Jinja prints it", "object"])
    def test_it_is_all_that_the_sensor_needs(self, handle):
        trigger = deferred(sensor(handle=handle)).trigger
        assert trigger.handle == HANDLE

    @pytest.mark.parametrize(
        ("handle", "says"),
        [
            (None, "handle: it is None: the task that publishes the request has returned nothing"),
            ({"verdict": "buy"}, "handle: it has no correlation_id, so it is no handle of a request"),
            (HANDLE | {"correlation_id": "7"}, "handle: correlation_id: Input should be a valid UUID"),
            (HANDLE | {"deadline": "2026-11-30T10:00:00"}, "handle: deadline has no time zone"),
            (HANDLE | {"deadline": "soon"}, "handle: deadline: "),
            (HANDLE | {"start_offsets": None}, "handle: start_offsets: "),
            ([HANDLE, HANDLE], r"handle: it holds 2 values\. .*\.expand\(handle=ask.output\)"),
            (("correlation_id", "x"), "handle: it holds 2 values"),
            (UserList([HANDLE, HANDLE]), r"handle: it holds 2 values\. .*\.expand\(handle=ask.output\)"),
            ("{{ oops", "handle: the text '{{ oops' is no mapping"),
            ("x" * 500, "handle: the text 'x{60}…' is no mapping"),
            ("(" * 5_000, "is no mapping"),
            (5, "handle: an int is no mapping"),
        ],
    )
    def test_what_is_none_is_named_with_the_remedy(self, handle, says):
        given = sensor()
        given.handle = handle  # as Airflow renders it
        with pytest.raises(SettingsError, match=says) as caught:
            given.execute(context())
        assert "wait_for_completion=False returns, such as handle=ask.output" in str(caught.value)

    def test_what_can_never_be_one_is_refused_when_the_dag_is_parsed(self):
        with DAG("d", schedule=None):
            other = LangGraphTriggerOperator(task_id="ask", wait_for_completion=False)
            for kind in (LangGraphResultSensor, LangGraphCancelOperator):
                with pytest.raises(SettingsError, match=r"^handle: it is the task 'ask', not its output\. Pass"):
                    kind(task_id=f"wrong_{kind.__name__}", handle=other)
                assert kind(task_id=kind.__name__, handle=other.output).upstream_task_ids == {"ask"}
        with pytest.raises(SettingsError, match=r"^handle: it is None"):
            LangGraphResultSensor(task_id="next", handle=None)

    def test_the_topics_that_an_older_one_does_not_name_are_the_configured_ones(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW__LANGGRAPH__CONTROL_TOPIC", "steer")
        older = {key: value for key, value in HANDLE.items() if key not in ("control_topic", "progress_topic")}
        assert deferred(sensor(handle=older)).trigger.handle["control_topic"] == "steer"

    @pytest.mark.parametrize(
        ("ago", "least"), [(timedelta(0), GRACE + SAFETY_NET), (timedelta(days=30), LEAST_WAIT + SAFETY_NET)]
    )
    def test_one_whose_deadline_has_passed_is_still_looked_for(self, ago, least):
        """Its agent may have answered long ago."""
        old = HANDLE | {"deadline": (datetime.now(UTC) - ago).isoformat()}
        assert least - timedelta(seconds=30) < deferred(sensor(handle=old)).timeout <= least

    def test_one_whose_deadline_has_passed_is_looked_for_before_the_slot_is_freed(self, monkeypatch):
        """A deferral of a second part and thirty seconds, for an answer that is there."""
        looked = []
        answer = WorkflowResultEvent(
            correlation_id=REQUEST, workflow_id="w", workflow_run_id="r", status="success", result=[1]
        )
        monkeypatch.setattr(
            "airflow_provider_langgraph.tasks.reply_task.result_within",
            lambda handle, seconds, *_: looked.append(seconds) or answer,
        )
        old = HANDLE | {"deadline": (datetime.now(UTC) - timedelta(days=30)).isoformat()}
        assert sensor(handle=old, defer_after=5).execute(context()) == [1]
        assert looked == [5]


class TestAnswer:
    def test_it_is_what_the_operator_would_return(self):
        assert sensor().execute_complete(context(), fired("success", {"answer": 42})) == {"answer": 42}
        assert sensor(result_format="text").execute_complete(context(), fired("success", [1])) == "[1]"

    def test_two_sensors_and_a_retry_get_the_same(self):
        event = fired("success", {"answer": 42})
        assert [sensor().execute_complete(context(id=UUID(int=n)), event) for n in range(3)] == [{"answer": 42}] * 3

    @pytest.mark.usefixtures("hook")
    @pytest.mark.parametrize(
        ("event", "error"),
        [
            (fired("failure", error="boom"), RunFailed),
            (fired("interrupted"), FinalRunInterrupted),
            ({"kind": "silence"}, RunTimedOut),
            ({"kind": "broken", "error": "why"}, WaitError),
            ({"kind": "refused", "error": "why"}, KafkaSettingsError),
        ],
    )
    def test_the_exceptions_are_the_same(self, event, error):
        with pytest.raises(error):
            sensor().resume_execution("execute_complete", {"event": event}, context())

    def test_a_result_that_does_not_fit_the_schema_is_refused(self):
        with pytest.raises(OutputSchemaError, match=r"0: Input should be a valid integer"):
            sensor(output_schema=list[int]).execute_complete(context(), fired("success", ["x"]))

    def test_one_that_is_there_already_takes_no_deferral(self, monkeypatch):
        answer = WorkflowResultEvent(
            correlation_id=REQUEST, workflow_id="w", workflow_run_id="r", status="success", result=[1]
        )
        monkeypatch.setattr("airflow_provider_langgraph.tasks.reply_task.result_within", lambda *_: answer)
        assert sensor(defer_after=5).execute(context()) == [1]


ENDED = [("Trigger timeout", RunTimedOut), ("Trigger failure", WaitError)]


class TestCancel:
    """A sensor did not start the agent."""

    @pytest.mark.parametrize("asked", [False, True])
    def test_the_trigger_knows_whether_a_kill_cancels(self, asked):
        assert deferred(sensor(cancel_on_kill=asked)).trigger.cancel_on_kill is asked
        assert deferred(sensor()).trigger.cancel_on_kill is False

    @pytest.mark.parametrize("event", [{"kind": "silence"}, {"kind": "broken", "error": "x"}])
    def test_a_wait_that_came_to_nothing_cancels_nothing(self, hook, event):
        with pytest.raises((RunTimedOut, WaitError)):
            sensor().execute_complete(context(), event)
        assert hook.made == []

    @pytest.mark.parametrize(("airflows", "error"), ENDED)
    def test_nor_does_a_deferral_that_airflow_ended(self, hook, airflows, error):
        with pytest.raises(error):
            sensor().resume_execution("__fail__", {"error": airflows}, context())
        assert hook.made == []

    @pytest.mark.parametrize(("airflows", "error"), ENDED)
    def test_where_the_author_wants_it_it_does_over_the_handles_connection(self, hook, airflows, error):
        with pytest.raises(error):
            sensor(cancel_on_kill=True).resume_execution("__fail__", {"error": airflows}, context())
        assert hook.made == [("kafka_risk", CANCEL_SECONDS)]
        assert hook.cancelled == [(REQUEST, "risk.workflow-control")]

    @pytest.mark.parametrize("asked", [False, True])
    def test_a_kill_in_the_slot(self, hook, monkeypatch, asked):
        killed = sensor(cancel_on_kill=asked, defer_after=60)

        async def wait(handle, seconds, log):
            killed.on_kill()
            await asyncio.Event().wait()

        monkeypatch.setattr("airflow_provider_langgraph.waiting.reply_wait.reply_within", wait)
        with pytest.raises(RunCancelled):
            killed.execute(context())
        assert hook.cancelled == ([(REQUEST, "risk.workflow-control")] if asked else [])

    @pytest.mark.parametrize("asked", [False, True])
    def test_a_kill_before_it_defers(self, hook, asked):
        seen = context(get_task_states=lambda *_, **__: {"run_1": {"wait": "failed"}})
        with pytest.raises(RunCancelled):
            sensor(cancel_on_kill=asked).execute(seen)
        assert len(hook.cancelled) == asked


class TestTimeout:
    def test_without_one_the_requests_deadline_rules(self):
        """Airflow's default of a week would end the wait for an agent that may take a month."""
        late = HANDLE | {"deadline": (datetime.now(UTC) + timedelta(days=30)).isoformat()}
        assert deferred(sensor(handle=late)).timeout > timedelta(days=29)

    def test_a_shorter_one_ends_the_deferral(self):
        assert deferred(sensor(timeout=600)).timeout == timedelta(minutes=10)

    def test_a_longer_one_does_not_outlast_the_request(self):
        assert deferred(sensor(timeout=timedelta(days=2))).timeout < timedelta(hours=2)

    @pytest.mark.parametrize("asked", [False, True])
    def test_it_fails_as_airflows_sensors_do(self, hook, asked):
        with pytest.raises(
            AirflowSensorTimeout, match=rf"timeout of 600 s has passed\. Request {REQUEST} has no reply"
        ):
            sensor(timeout=600, cancel_on_kill=asked).resume_execution(
                "__fail__", {"error": "Trigger timeout"}, context()
            )
        assert len(hook.cancelled) == asked

    def test_past_the_requests_deadline_it_was_the_deadline(self):
        old = HANDLE | {"deadline": (datetime.now(UTC) - timedelta(minutes=6)).isoformat()}
        with pytest.raises(RunTimedOut, match="is a triggerer running"):
            sensor(handle=old, timeout=600).resume_execution("__fail__", {"error": "Trigger timeout"}, context())

    def test_one_shorter_than_the_wait_in_the_slot(self, monkeypatch):
        waited = []
        monkeypatch.setattr(
            "airflow_provider_langgraph.tasks.reply_task.result_within",
            lambda handle, seconds, *_: waited.append(seconds),
        )
        with pytest.raises(AirflowSensorTimeout):
            sensor(timeout=2, defer_after=5).execute(context())
        assert waited == [2]

    def test_the_slots_time_counts(self, monkeypatch):
        monkeypatch.setattr("airflow_provider_langgraph.tasks.reply_task.result_within", lambda *_: None)
        assert deferred(sensor(timeout=60, defer_after=5)).timeout == timedelta(seconds=55)

    def test_it_ends_a_wait_in_the_slot_too(self, hook, monkeypatch):
        async def wait(handle, log):
            await asyncio.Event().wait()

        monkeypatch.setattr("airflow_provider_langgraph.waiting.reply_wait.wait_for_reply", wait)
        with pytest.raises(AirflowSensorTimeout):
            sensor(timeout=0.01, deferrable=False).execute(context())
        assert hook.cancelled == []

    def test_a_deadline_in_the_slot_is_no_timeout_of_the_sensor(self, monkeypatch):
        from airflow_provider_langgraph.waiting.reply_wait import NoReplyError

        async def wait(handle, log):
            raise NoReplyError("")

        monkeypatch.setattr("airflow_provider_langgraph.waiting.reply_wait.wait_for_reply", wait)
        with pytest.raises(RunTimedOut):
            sensor(timeout=60, deferrable=False).execute(context())

    def test_a_wrong_one_is_refused_when_the_dag_is_parsed(self):
        with pytest.raises(SettingsError, match="timeout must be above zero"):
            sensor(timeout=0)


FAILED = fired("failure", error="boom")


class TestSkips:
    @pytest.mark.parametrize("wish", [{"soft_fail": True}, {"never_fail": True}])
    @pytest.mark.parametrize("event", [{"kind": "silence"}, FAILED, fired("cancelled"), fired("interrupted")])
    def test_where_the_agent_gives_no_result(self, wish, event):
        with pytest.raises(AirflowSkipException, match="skipped as there is no result: "):
            sensor(**wish).resume_execution("execute_complete", {"event": event}, context())

    @pytest.mark.parametrize("wish", [{"soft_fail": True}, {"never_fail": True}])
    def test_at_its_own_timeout(self, wish):
        with pytest.raises(AirflowSkipException):
            sensor(timeout=600, **wish).resume_execution("__fail__", {"error": "Trigger timeout"}, context())

    @pytest.mark.parametrize("wish", [{"soft_fail": True}, {"never_fail": True}])
    def test_in_the_slot_as_after_a_deferral(self, wish, monkeypatch):
        def fail(*_):
            raise RunFailed("boom")

        monkeypatch.setattr("airflow_provider_langgraph.tasks.reply_task.result_within", fail)
        with pytest.raises(AirflowSkipException):
            sensor(**wish).execute(context())

    def test_soft_fail_does_not_hide_that_kafka_cannot_be_used(self):
        event = {"kind": "broken", "error": "why"}
        with pytest.raises(KafkaError):
            sensor(soft_fail=True).resume_execution("execute_complete", {"event": event}, context())
        with pytest.raises(AirflowSkipException):
            sensor(never_fail=True).resume_execution("execute_complete", {"event": event}, context())

    @pytest.mark.parametrize("wish", [{"soft_fail": True}, {"never_fail": True}])
    def test_neither_hides_a_value_that_is_no_handle(self, wish):
        with pytest.raises(SettingsError):
            sensor(handle="oops", **wish).execute(context())

    def test_a_killed_task_is_not_skipped(self):
        seen = context(get_task_states=lambda *_, **__: {})
        killed = sensor(soft_fail=True)
        killed.on_kill()
        with pytest.raises(RunCancelled):
            killed.execute(seen)


class TestArguments:
    def test_silent_fail_is_refused(self):
        with pytest.raises(SettingsError, match="silent_fail: this sensor is not poked"):
            sensor(silent_fail=True)

    def test_reschedule_frees_the_slot_as_the_sensor_does_anyway(self):
        assert isinstance(deferred(sensor(mode="reschedule", poke_interval=5)), TaskDeferred)
        with pytest.raises(SettingsError, match="mode='reschedule' and deferrable=False contradict"):
            sensor(mode="reschedule", deferrable=False)

    def test_what_the_author_may_template(self):
        assert set(LangGraphResultSensor.template_fields) == {"handle", "defer_after"}

    def test_it_defers_whatever_the_deployments_default_is(self):
        assert sensor().deferrable is True


@pytest.mark.timeout(120)  # starts a process that imports Airflow
def test_a_dag_file_loads_no_kafka_client():
    code = (
        "import sys, airflow.sdk; before = set(sys.modules)\n"
        "import airflow_provider_langgraph.sensors.langgraph\n"
        "import airflow_provider_langgraph.operators.cancel\n"
        "heavy = [m for m in set(sys.modules) - before if m.split('.')[0] in ('confluent_kafka', 'langgraph')"
        " or m.startswith('airflow.providers.apache.kafka')]\n"
        "print(sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
