from __future__ import annotations

import asyncio
import subprocess
import sys
import traceback
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_langgraph.exceptions import (
    FinalRunRejected,
    KafkaSettingsError,
    PublishError,
    ResultRefusedError,
    RunCancelled,
    RunFailed,
    RunTimedOut,
    SettingsError,
    WaitError,
)
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.requests import task_identity
from airflow_provider_langgraph.requests.cancel import CANCEL_SECONDS
from airflow_provider_langgraph.tasks import reply_task
from airflow_provider_langgraph.waiting.blocking_wait import BlockingWait
from tests.support.asking_task import NOW, TI_ID, Hook, context, fired, packed, reply
from tests.support.ti_ids import new_ti_id
from workflow_events.identity import correlation_id, task_key


@pytest.fixture
def hook(monkeypatch):
    hook = Hook()
    monkeypatch.setattr("airflow_provider_langgraph.hooks.kafka.KafkaHook", hook.make)
    return hook


@pytest.fixture(autouse=True)
def named_deployment(monkeypatch):
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "test-airflow")


def operator(**fields):
    return LangGraphTriggerOperator(task_id="agent", **fields)


class TestRequest:
    def test_it_carries_who_asks_and_until_when(self):
        asked_after = datetime.now(UTC)
        event = operator(graph="writer", input={"a": 1}, timeout=60, config={"tags": ["t"]})._event(context())

        assert event.event_id == correlation_id(TI_ID)
        assert event.attempt.task == task_key("test-airflow", "report", "run_1", "agent")
        assert event.attempt.deployment == "test-airflow"
        assert event.workflow_id == "report"
        assert event.workflow_run_id == "run_1"
        assert event.payload.data == {"a": 1}
        assert asked_after <= event.deadline - timedelta(seconds=60) <= datetime.now(UTC)
        assert event.attempt.run_start == NOW
        assert (event.context, event.assistant) == (None, None)

    def test_each_iteration_of_a_task_loop_is_a_task_of_its_own(self):
        mapped = context(map_index=3)
        tasks = [
            operator()._event(where | {"loop": SimpleNamespace(index=index)}).attempt.task
            for where in (context(), mapped)
            for index in (1, 2)
        ]
        assert len({*tasks, operator()._event(context()).attempt.task, operator()._event(mapped).attempt.task}) == 6

    @pytest.mark.parametrize("value", ["cats", [{"role": "user", "content": "hi"}], 0, [], {}])
    def test_an_input_is_whatever_json_the_graph_takes(self, value):
        assert operator(input=value)._event(context()).payload.data == value

    def test_a_context_and_an_assistant_are_sent(self):
        event = operator(context={"user": "ann", "limits": {"depth": 2}}, assistant="night")._event(context())
        assert (event.context, event.assistant) == ({"user": "ann", "limits": {"depth": 2}}, "night")

    def test_a_mapped_task_is_a_task_of_its_own(self):
        tasks = {operator()._event(context(map_index=number)).attempt.task for number in (-1, 0, 1)}
        assert len(tasks) == 3

    def test_the_same_try_is_the_same_request_and_another_is_not(self):
        assert operator()._event(context()).event_id == operator()._event(context()).event_id
        assert operator()._event(context()).event_id != operator()._event(context(id=new_ti_id())).event_id

    def test_only_the_attempt_after_a_returned_result_is_a_clear(self):
        tries = [context(id=new_ti_id()) for _ in range(4)]
        for one in tries:
            one["task_state_store"] = tries[0]["task_state_store"]

        def returned(number):
            return operator()._event(tries[number]).attempt.returned

        assert returned(0) is False
        operator().execute_complete(tries[0], fired("success"))
        assert returned(0) is False  # run again itself, it is still the same request
        assert (returned(1), returned(1)) == (True, True)
        assert returned(2) is False  # the retry of a cleared task is a retry
        operator().execute_complete(tries[2], fired("success"))
        assert returned(3) is True

    def test_a_task_keeps_the_name_of_its_deployment(self, monkeypatch):
        monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "")
        first = context()
        monkeypatch.setattr(task_identity.Variable, "get", lambda key, default=None: "drawn first")
        assert operator()._event(first).attempt.deployment == "drawn first"
        monkeypatch.setattr(task_identity.Variable, "get", lambda key, default=None: "drawn by another task")
        assert operator()._event(first).attempt.deployment == "drawn first"
        assert operator()._event(context()).attempt.deployment == "drawn by another task"

    def test_older_airflows_have_no_state_store(self):
        old = context()
        del old["task_state_store"]
        assert operator()._event(old).attempt.returned is False
        assert operator().execute_complete(old, fired("success")) == {"answer": 42}

    def test_execution_timeout_counts(self):
        event = operator(execution_timeout=timedelta(seconds=30))._event(context())
        assert event.deadline == NOW + timedelta(seconds=30)

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"input": {"when": datetime}}, r"^input\.when: a type has no JSON form. Convert it"),
            ({"input": [{"x": {object()}}]}, r"^input\.0\.x\.\(a set\): an object has no JSON form"),
            (
                {"input": {"x": [LangGraphTriggerOperator(task_id="ask")]}},
                r"^input\.x\.0: it is the task 'ask', not its output",
            ),
            ({"input": {"x": float("nan")}}, r"^input\.x: .*no NaN"),
            ({"input": {1: 2, "1": 3}}, r"^input: two keys are '1' in JSON"),
            ({"context": "{'a': 1}"}, r"^context: .*A template renders to text"),
            ({"context": {"a": {"b": (object(),)}}}, r"^context\.a\.b\.0: an object has no JSON form"),
            ({"context": {"thread_id": "x"}}, r"^context: .*thread_id"),
            ({"config": {"recursion_limit": 0}}, r"^config\.recursion_limit: "),
            ({"config": {"temperature": 0}}, r"^config: unknown key 'temperature'\. Allowed are tags, "),
            ({"config": {"configurable": {"thread_id": "x"}}}, r"^config\.configurable: .*thread_id"),
            ({"graph": ""}, r"^graph: "),
            ({"thread_id": "x" * 1000}, r"^thread_id: "),
        ],
    )
    def test_what_cannot_be_sent_is_named_in_the_authors_words(self, fields, says):
        with pytest.raises(SettingsError, match=says):
            operator(**fields)._event(context())


class TestArguments:
    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"timeout": 0}, "timeout must be above zero"),
            ({"on_retry": "again"}, "on_retry must be one of resume, restart"),
            ({"on_clear": "again"}, "on_clear must be one of restart, resume"),
            ({"fleet": {"topic": "x"}}, "fleet: unknown key 'topic'"),
            ({"fleet": "ris k"}, "fleet: 'ris k' is no name for a fleet"),
            ({"defer_after": -1}, "defer_after must be 0 or more"),
            ({"defer_after": float("nan")}, "defer_after must be 0 or more"),
            ({"defer_after": 10**400}, "defer_after must be 0 or more, and below"),
            ({"defer_after": True}, "defer_after must be a timedelta or a number of seconds, not True"),
            ({"defer_after": "soon"}, "defer_after must be .*, not 'soon'. 0 defers at once"),
        ],
    )
    def test_they_are_checked_when_the_dag_is_parsed(self, fields, says):
        with pytest.raises(SettingsError, match=says):
            operator(**fields)

    def test_what_the_author_may_template(self):
        assert set(LangGraphTriggerOperator.template_fields) == {
            *("graph", "input", "context", "assistant", "config", "budget"),
            *("thread_id", "workflow_id", "fleet", "defer_after", "subject"),
        }

    def test_it_defers_whatever_the_deployments_default_is(self):
        assert operator().deferrable is True


@pytest.mark.usefixtures("hook")
class TestAnswer:
    @pytest.mark.parametrize(
        ("airflows", "error", "says"),
        [
            ({"error": "Trigger timeout"}, RunTimedOut, "is a triggerer running"),
            ({"error": "Trigger failure", "traceback": ["boom"]}, WaitError, "the trigger that waited .* failed"),
        ],
    )
    def test_a_deferral_that_airflow_ends_is_a_typed_error_too(self, airflows, error, says):
        with pytest.raises(error, match=says):
            operator().resume_execution("__fail__", airflows, context())

    def test_a_result_that_airflow_would_read_as_its_own_is_returned_as_text_or_not_at_all(self):
        odd = {"__type": "datetime", "__var": 5}
        event = packed(reply("success").model_copy(update={"result": odd}))
        with pytest.raises(ResultRefusedError, match="at result it has '__type', '__var'"):
            operator().execute_complete(context(), event)
        text = operator(result_format="text").execute_complete(context(), event)
        assert text == '{"__type":"datetime","__var":5}'

    def test_another_format_is_refused_when_the_dag_is_read(self):
        with pytest.raises(SettingsError, match="result_format must be one of json, text, not 'xml'"):
            operator(result_format="xml")

    def test_the_return_value_is_the_result(self):
        assert operator().execute_complete(context(), fired("success")) == {"answer": 42}

    @pytest.mark.parametrize(
        ("event", "error", "says"),
        [
            (fired("failure", error="boom"), RunFailed, "boom"),
            (fired("error", error="no such graph"), FinalRunRejected, "no such graph"),
            ({"kind": "silence"}, RunTimedOut, "Is a langgraph-worker running"),
            (
                {"kind": "silence", "heard": "plan started"},
                RunTimedOut,
                "had taken it, and reported last: plan started",
            ),
            ({"kind": "broken", "error": "cannot read"}, WaitError, "cannot read"),
            ({"kind": "refused", "error": "acks = 0"}, KafkaSettingsError, "acks = 0"),
        ],
    )
    def test_anything_else_is_a_typed_error(self, event, error, says):
        with pytest.raises(error, match=says):
            operator().execute_complete(context(), event)

    def test_a_failed_agent_shows_no_frames_of_the_provider_but_one(self):
        with pytest.raises(RunFailed) as caught:
            operator().resume_execution("execute_complete", {"event": fired("failure", error="boom")}, context())
        frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert frames[1:] == ["resume_execution"]
        assert str(caught.value).startswith("boom (status failure; a retry can help; request ")

    @pytest.mark.parametrize("deferrable", [True, False])
    def test_one_that_fails_in_the_slot_shows_none_but_those_of_execute(self, hook, monkeypatch, deferrable):
        failure = reply("failure", error="boom")
        monkeypatch.setattr(reply_task, "result_within", lambda *_: failure)
        monkeypatch.setattr(reply_task, "wait_for_result", lambda *_: failure)
        with pytest.raises(RunFailed) as caught:
            operator(deferrable=deferrable).execute(context())
        frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert not {"_execute", "_wait", "_return", "return_value"} & set(frames)
        assert "execute" in frames

    def test_a_failure_is_not_remembered_as_returned(self):
        seen = context()
        with pytest.raises(RunFailed):
            operator().execute_complete(seen, fired("failure"))
        assert task_identity.RETURNED_KEY not in seen["task_state_store"]


@pytest.mark.timeout(60)  # it starts a process that imports Airflow
def test_a_dag_file_loads_no_kafka_client_and_little_else():
    # Beyond what Airflow itself loads for a DAG file; seconds are left to the benchmark, modules are exact.
    code = (
        "import sys, airflow.sdk; before = set(sys.modules)\n"
        "import airflow_provider_langgraph.operators.langgraph\n"
        "ours = set(sys.modules) - before\n"
        "heavy = [m for m in ours if m.split('.')[0] in ('confluent_kafka', 'langgraph', 'sqlalchemy')"
        " or m.startswith('airflow.providers.apache.kafka')]\n"
        "print(sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


class TestAnnouncement:
    @pytest.fixture
    def publish(self, monkeypatch):
        def publish(hook, try_number, **fields):
            monkeypatch.setattr("airflow_provider_langgraph.hooks.kafka.KafkaHook", hook.make)
            unawaited = operator(wait_for_completion=False, **fields)
            return unawaited.execute(context(try_number=try_number))

        return publish

    def test_a_newer_try_is_announced_once_its_request_is_out(self, publish):
        hook = Hook()
        publish(hook, 2, fleet={"control": "steer"})
        assert hook.calls == [("workflow-events", 2), ("steer", 2)]

    def test_the_handle_names_the_topics_of_the_fleet(self, publish):
        handle = publish(Hook(), 1, fleet={"name": "risk", "results": "shared"})
        topics = [handle[f"{purpose}_topic"] for purpose in ("events", "results", "control", "progress")]
        assert topics == ["risk.workflow-events", "shared", "risk.workflow-control", "risk.workflow-progress"]

    def test_a_first_try_supersedes_nothing(self, publish):
        hook = Hook()
        publish(hook, 1)
        assert hook.calls == [("workflow-events", 1)]

    def test_it_is_no_failure_if_it_cannot_be_announced(self, publish):
        hook = Hook(missing=["workflow-control"])
        assert publish(hook, 2)["start_offsets"] == {"0": 7}
        assert hook.calls == [("workflow-events", 2)]


REQUEST = correlation_id(TI_ID)


class TestGivingUp:
    """A run without a waiter must not go on."""

    def test_a_cancel_has_a_few_seconds_and_the_operators_fleet(self, hook):
        with pytest.raises(RunTimedOut):
            operator(fleet="risk", kafka_config_id="mine").execute_complete(context(), {"kind": "silence"})
        assert hook.made == [{"kafka_config_id": "mine", "fleet": "risk", "timeout": CANCEL_SECONDS}]
        assert hook.calls == [("risk.workflow-control", REQUEST)]

    @pytest.mark.parametrize("airflows", [{"error": "Trigger timeout"}, {"error": "Trigger failure"}])
    def test_a_deferral_that_airflow_ended(self, hook, airflows):
        with pytest.raises((RunTimedOut, WaitError)):
            operator(fleet={"control": "steer"}).resume_execution("__fail__", airflows, context())
        assert hook.calls == [("steer", REQUEST)]

    @pytest.mark.parametrize(
        ("kind", "error"), [("silence", RunTimedOut), ("broken", WaitError), ("refused", KafkaSettingsError)]
    )
    def test_a_wait_that_came_to_nothing(self, hook, kind, error):
        with pytest.raises(error, match="why"):
            operator().execute_complete(context(), {"kind": kind, "error": "why"})
        assert hook.calls == [("workflow-control", REQUEST)]

    def test_an_agent_that_answered_is_left_alone(self, hook):
        with pytest.raises(RunFailed):
            operator().execute_complete(context(), fired("failure"))
        assert hook.calls == []

    @pytest.mark.parametrize("state", ["failed", "success", "restarting", "skipped"])
    def test_a_task_that_was_killed_between_publishing_and_deferring(self, hook, state):
        seen = context(get_task_states=lambda *_, **__: {"run_1": {"agent": state}})
        with pytest.raises(RunCancelled, match="killed before it waited"):
            operator(defer_after=0).execute(seen)
        assert hook.calls == [("workflow-events", 1), ("workflow-control", REQUEST)]

    def test_one_that_got_a_signal(self, hook):
        killed = operator()
        hook.publish = lambda *_, **__: killed.on_kill()
        with pytest.raises(RunCancelled):
            killed.execute(context())
        assert hook.calls == [("workflow-control", REQUEST)]

    def test_one_that_is_killed_before_it_asks_does_not_ask(self, hook, monkeypatch):
        killed, hooked = operator(), hook.end_offsets
        monkeypatch.setattr(hook, "end_offsets", lambda topic: killed.on_kill() or hooked(topic))
        with pytest.raises(RunCancelled, match="before it asked"):
            killed.execute(context())
        assert hook.calls == []

    def test_a_kill_of_one_copy_says_nothing_of_the_next(self, hook):
        """Airflow executes copies of an operator; ``dag.test()`` does so for several tries in one process."""
        original = operator(defer_after=0)
        original.prepare_for_execution().on_kill()
        with pytest.raises(TaskDeferred):
            original.prepare_for_execution().execute(context())
        assert hook.calls == [("workflow-events", 1)]

    def test_one_that_waits_for_nothing(self, hook):
        seen = context(get_task_states=lambda *_, **__: {"run_1": {"agent": "failed"}})
        with pytest.raises(RunCancelled):
            operator(wait_for_completion=False).execute(seen)
        assert hook.calls == [("workflow-events", 1), ("workflow-control", REQUEST)]

    @pytest.mark.parametrize("states", [{"run_1": {"agent": "running"}}, {}])
    def test_one_that_goes_on_defers(self, hook, states):
        with pytest.raises(TaskDeferred):
            operator(defer_after=0).execute(context(get_task_states=lambda *_, **__: states))
        assert hook.calls == [("workflow-events", 1)]

    def test_a_mapped_task_is_asked_for_by_its_own_name(self, hook):
        states = {"run_1": {"agent_3": "failed", "agent": "running"}}
        with pytest.raises(RunCancelled):
            operator(defer_after=0).execute(context(map_index=3, get_task_states=lambda *_, **__: states))

    def test_a_cancel_that_cannot_be_sent_hides_no_error(self, hook):
        hook.missing = ["workflow-control"]
        with pytest.raises(RunTimedOut, match="Its results could not be read: no broker"):
            operator().execute_complete(context(), {"kind": "silence", "error": "no broker"})
        assert hook.calls == []

    def test_an_event_of_an_older_version_is_understood(self, hook):
        old = {
            "kind": "result",
            "correlation_id": str(REQUEST),
            "status": "success",
            "result": reply("success").model_dump_json(),
        }
        assert operator().execute_complete(context(), old) == {"answer": 42}

    def test_a_reply_that_cannot_be_read_names_its_place(self, hook):
        event = fired("success") | {"result": "{}"}
        with pytest.raises(WaitError, match=r"results\[0\]@7"):
            operator().execute_complete(context(), event)

    def test_a_kill_while_the_broker_is_slow_to_acknowledge(self, hook):
        killed = operator()

        def slow(event, topic, **_):
            killed.on_kill()
            raise PublishError("given up")

        hook.publish = slow
        with pytest.raises(PublishError):
            killed.execute(context())
        assert hook.calls == [("workflow-control", REQUEST)]

    @pytest.mark.parametrize("error", [WaitError, KafkaSettingsError])
    def test_a_blocking_wait_that_fails(self, hook, error, monkeypatch):
        def fail(self, log):
            raise error("no")

        monkeypatch.setattr("airflow_provider_langgraph.waiting.blocking_wait.BlockingWait.reply", fail)
        with pytest.raises(error):
            operator(deferrable=False).execute(context())
        assert hook.calls == [("workflow-events", 1), ("workflow-control", REQUEST)]


def test_a_kill_after_the_wait_is_over_is_no_error():
    wait = BlockingWait(None)
    wait._loop = asyncio.new_event_loop()
    wait._task = SimpleNamespace(cancel=lambda: None)
    wait._loop.close()
    wait.kill()
