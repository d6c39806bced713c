"""``MultiAgentOperator``: its arguments, the requests that its task publishes, and what becomes of the replies."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import structlog
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import TaskDeferralTimeout, TaskDeferred
from airflow.sdk.execution_time import task_runner
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider_langgraph.exceptions import (
    AgentsFailed,
    FinalAgentsFailed,
    FinalRunFailed,
    FinalRunInterrupted,
    FinalRunRejected,
    GraphCheckError,
    KafkaError,
    PublishError,
    ResultRefusedError,
    RunCancelled,
    RunFailed,
    RunTimedOut,
    SettingsError,
    WaitError,
)
from airflow_provider_langgraph.operators.multi_agent import MultiAgentOperator
from airflow_provider_langgraph.requests.agent_replies import answer_of, packed
from airflow_provider_langgraph.requests.agent_work import AgentWork
from airflow_provider_langgraph.requests.orchestration import StepEnd, next_move
from airflow_provider_langgraph.requests.reply import Reply, reply_of
from tests.support.asking_task import TI_ID, Hook, context
from workflow_events import WorkflowResultEvent
from workflow_events.announcements import GraphAnnouncement, WorkerAnnouncement
from workflow_events.codec import Record, encode
from workflow_events.identity import correlation_id
from workflow_events.results import Interrupt, ModelUsage

VISION = {"name": "vision", "type": "vision", "input_data": {"image_url": "u"}}
TEXT = {"name": "text", "type": "text", "input_data": {"text": "t"}}
BOSS = {"type": "router"}
PARAMS = {"order": "12_34", "graph": "writer", "depth": 7}


@pytest.fixture(autouse=True)
def hook(monkeypatch):
    hook = Hook()
    monkeypatch.setenv("AIRFLOW__LANGGRAPH__DEPLOYMENT", "test-airflow")
    monkeypatch.setattr("airflow_provider_langgraph.hooks.kafka.KafkaHook", hook.make)
    return hook


def operator(agents=(VISION, TEXT), mode="parallel", native=False, **fields):
    with DAG("d", render_template_as_native_obj=native):
        return MultiAgentOperator(
            task_id="agents",
            agents=list(agents) if isinstance(agents, tuple) else agents,
            orchestration_mode=mode,
            **{"defer_after": 0} | fields,
        )


def deferred(one, **seen):
    """The work that the task leaves to its trigger."""
    one.render_template_fields({"params": PARAMS})
    with pytest.raises(TaskDeferred) as deferral:
        one.execute(context(**seen))
    return AgentWork.from_json(deferral.value.trigger.work)


class TestWhenTheDagIsRead:
    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"mode": "chain"}, "orchestration_mode must be one of parallel, sequential, supervisor, not 'chain'"),
            ({"agents": ()}, "agents is empty: give a mapping for each agent"),
            ({"agents": None}, "agents must be a list of mappings"),
            ({"agents": {"type": "vision"}}, "agents must be a list of mappings"),
            ({"agents": ("vision",)}, r"agents\[0\] must be a mapping, such as"),
            ({"agents": (VISION, {"name": "text"})}, r"agents\[1\] names no graph: write 'type'"),
            ({"agents": ({"type": "a", "graph": "b"},)}, r"agents\[0\]: 'graph' is 'b' and 'type' is 'a', but each"),
            ({"agents": ({"type": "a", "model": "m", "context": {"model": "n"}},)}, "model is given twice: by agents"),
            (
                {"agents": (VISION, {"type": "vision"})},
                r"agents\[0\] and agents\[1\] are both named 'vision'. Give one",
            ),
            ({"agents": ({"type": "a", "name": "a#1"},)}, r"agents\[0\]: the agent's name 'a#1' cannot be used"),
            (
                {"agents": ({"type": "a/b"},)},
                r"the agent's name 'a/b' cannot be used: .* Give the agent another 'name'",
            ),
            ({"agents": ({"type": "a", "name": "__type"},)}, "the agent's name '__type' cannot be used"),
            (
                {"agents": ({"type": "a", "qqqq": {}},)},
                r"unknown key 'qqqq'. Allowed are name, type, graph, input_data.* only the graph knows belongs into",
            ),
            ({"agents": ({"type": "a", "recursionlimit": 3},)}, "Did you mean 'recursion_limit'"),
            ({"agents": ({"type": "a", "previous_as": "x"}, TEXT)}, r"agents\[0\]: agents that run in parallel get no"),
            ({"agents": ({"type": "a", "previous_as": "x"}, TEXT), "mode": "sequential"}, "the first agent gets no"),
            (
                {"agents": (VISION, {"type": "a", "previous_as": "x", "input_data": "t"}), "mode": "sequential"},
                "previous_as names a key of its input, and input_data is no mapping",
            ),
            (
                {"agents": (VISION, {"type": "a", "previous_as": 3}), "mode": "sequential"},
                "previous_as must be the name",
            ),
            ({"mode": "supervisor"}, "orchestrator is missing: .* such as orchestrator={'type': 'router'}"),
            ({"orchestrator": BOSS}, "orchestrator: with orchestration_mode='parallel' no graph routes. Leave it out"),
            ({"mode": "supervisor", "orchestrator": {"type": "r", "name": "text"}}, "are both named 'text'"),
            ({"mode": "supervisor", "orchestrator": BOSS | {"description": "x"}}, "orchestrator: unknown key 'descr"),
            (
                {"mode": "supervisor", "orchestrator": BOSS | {"input_data": {"results": 1}}},
                "orchestrator: input_data has 'results', which the task adds itself",
            ),
            (
                {"mode": "supervisor", "orchestrator": BOSS | {"input_data": "t"}},
                "orchestrator: input_data must be a map",
            ),
            (
                {"agents": ({"type": "a", "name": "FINISH"},), "mode": "supervisor", "orchestrator": BOSS},
                "the name 'FINISH' ends a task with an orchestrator",
            ),
            ({"max_rounds": 3}, "max_rounds: with orchestration_mode='parallel' each agent is asked once"),
            (
                {"mode": "supervisor", "orchestrator": BOSS, "max_rounds": 0},
                "max_rounds must be a whole number from 1 to",
            ),
            ({"policy": "any"}, "policy must be one of fail_fast, all_done, not 'any'"),
            ({"quorum": 3}, "quorum: 3 agents cannot succeed, as there are 2"),
            ({"quorum": 0}, "quorum must be a whole number above 0, not 0"),
            ({"quorum": True}, "quorum must be a whole number above 0"),
            ({"quorum": 1, "policy": "all_done"}, "quorum=1 and policy='all_done' contradict each other"),
            ({"quorum": 1, "mode": "sequential"}, "quorum: with orchestration_mode='sequential' agents run one after"),
            ({"policy": "all_done", "mode": "sequential"}, "an agent needs the result of the one before it"),
            ({"timeout": 0}, "timeout must be above zero"),
            # Values that can never be right, as in an agent_config.
            ({"agents": ({"type": "a", "recursion_limit": "x"},)}, r"^agents\[0\]\.recursion_limit: "),
            ({"agents": ({"type": "a", "tags": "x"},)}, r"^agents\[0\]\.tags: "),
            ({"agents": ({"type": "a", "model": 3},)}, r"^agents\[0\]\.model: "),
            ({"agents": ({"type": "a", "context": "x"},)}, r"^agents\[0\]\.context: it must be a mapping"),
            ({"agents": ({"type": ""},)}, r"^agents\[0\]\.type: a name is a text that is not empty, not ''"),
            ({"agents": ({"type": "a", "assistant": ["n"]},)}, r"^agents\[0\]\.assistant: a name is a text"),
            (
                {"mode": "supervisor", "orchestrator": BOSS | {"recursion_limit": "x"}},
                r"^orchestrator\.recursion_limit: ",
            ),
            # What stands elsewhere, or does not go with several agents.
            (
                {"agents": ({"type": "a", "configurable": {"thread_id": "a"}},)},
                r"^agents\[0\]\.configurable: thread_id: .* use thread_id of a LangGraphTriggerOperator, in a task",
            ),
            (
                {"agents": ({"type": "a", "input": {}},)},
                "unknown key 'input'. An agent's input is its key 'input_data'",
            ),
            ({"agents": ({"type": "a", "config": {}},)}, "Write the keys of config into the agent's mapping itself"),
            ({"agents": ({"type": "a", "timeout": 3},)}, r"whole task: write MultiAgentOperator\(..., timeout=...\)"),
            ({"agents": ({"type": "a", "retries": 3},)}, r"whole task: write MultiAgentOperator\(..., retries=...\)"),
            ({"agents": ({"type": "a", "check_graph": True},)}, r"write MultiAgentOperator\(..., check_graph=...\)"),
            ({"agents": ({"type": "a", "system_prompt": "x"},)}, "only the graph knows belongs into 'context', which"),
            ({"agents": ({"type": "a", "temperature": 1},)}, "only the graph knows belongs into 'context', which"),
            (
                {"agents": ({"type": "a", "thread_id": "x"},)},
                r"task of its own, LangGraphTriggerOperator\(..., thread_id=",
            ),
            ({"on_interrupt": "ask"}, r"task of its own, LangGraphTriggerOperator\(..., on_interrupt=...\)"),
            ({"output_schema": dict}, r"task of its own, LangGraphTriggerOperator\(..., output_schema=...\)"),
            ({"wait_for_completion": False}, r"LangGraphTriggerOperator\(..., wait_for_completion=...\)"),
            ({"input": {}}, r"'input' .*It stands in the mapping of each agent: write agents=\[.*'input_data': ...}\]"),
            ({"model": "x"}, r"'model' .*It stands in the mapping of each agent: write agents="),
        ],
    )
    def test_what_is_wrong_is_refused_in_one_sentence(self, fields, says):
        with pytest.raises(SettingsError, match=says) as refused:
            operator(**fields)
        assert "\n" not in str(refused.value)

    def test_what_is_rendered_later_is_checked_later(self):
        templated = operator(({"type": "{{ params.graph }}"}, {"type": "{{ params.graph }}"}))
        with pytest.raises(SettingsError, match="both named 'writer'"):
            deferred(templated)
        text = operator("{{ params.graph }}")
        text.render_template_fields({"params": PARAMS})
        with pytest.raises(SettingsError, match=r"agents must be a list of mappings.*A template renders to text"):
            text.execute(context())
        few = operator("{{ params.graph }}", quorum=3)
        few.agents = [VISION, TEXT]
        with pytest.raises(SettingsError, match="quorum: 3 agents cannot succeed"):
            few.execute(context())

    @pytest.mark.timeout(60)  # it starts a process that imports Airflow
    def test_a_dag_file_loads_no_kafka_client(self):
        code = (
            "import sys, airflow.sdk; before = set(sys.modules)\n"
            "import airflow_provider_langgraph.operators.multi_agent\n"
            "ours = set(sys.modules) - before\n"
            "print([name for name in ours if name.startswith(('confluent_kafka', 'sqlalchemy'))])\n"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip().splitlines()[-1] == "[]"

    def test_airflow_can_serialize_the_dag(self):
        with DAG("d") as dag:
            MultiAgentOperator(task_id="agents", agents=[VISION, TEXT], policy="all_done")
            MultiAgentOperator.partial(task_id="mapped").expand(agents=[[VISION], [TEXT]])
        assert DagSerialization.to_dict(dag)

    def test_an_operators_mode_has_a_longer_name(self):
        with pytest.raises(SettingsError, match=r"takes no argument 'mode' .* Write orchestration_mode=\.\.\."):
            MultiAgentOperator(task_id="agents", agents=[VISION], mode="sequential")


class TestRequests:
    def test_it_is_the_documents_own_example(self, hook):
        work = deferred(operator())
        assert [event.graph for event in hook.events] == ["vision", "text"]
        assert [event.payload.data for event in hook.events] == [{"image_url": "u"}, {"text": "t"}]
        assert [event.attempt.agent for event in hook.events] == ["vision", "text"]
        assert [event.event_id for event in hook.events] == [correlation_id(TI_ID, name) for name in ("vision", "text")]
        assert len({event.deadline for event in hook.events}) == 1
        assert len({event.attempt.task for event in hook.events}) == 1
        assert {name: handle.correlation_id for name, handle in work.handles.items()} == {
            name: correlation_id(TI_ID, name) for name in ("vision", "text")
        }

    def test_each_agent_has_the_budget_of_the_task_or_its_own(self, hook):
        own = {**TEXT, "budget": {"tokens": "500"}}
        deferred(operator((VISION, own), budget={"tokens": 100, "cost_usd": 0.5}))
        assert [event.budget.model_dump(exclude_none=True) for event in hook.events] == [
            {"tokens": 100, "cost_usd": 0.5},
            {"tokens": 500},
        ]

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"budget": {"token": 1}}, r"^budget: unknown key 'token'\. Did you mean 'tokens'\?"),
            (
                {"agents": ({**VISION, "budget": {"steps": 0}},)},
                r"^agents\[0\]\.budget\['steps'\] must be a whole number",
            ),
            ({"agents": ({**VISION, "budget": {}},)}, r"^agents\[0\]\.budget is empty"),
            ({"check_graph": "yes"}, "^check_graph must be True, False or None"),
        ],
    )
    def test_a_wrong_budget_is_refused_when_the_dag_is_read(self, fields, says):
        with pytest.raises(SettingsError, match=says):
            operator(**fields)

    def test_every_agent_is_compared_with_what_workers_announce_before_one_is_asked(self, hook):
        vision = GraphAnnouncement(
            graph="vision", input={"type": "object", "properties": {"image_url": {"type": "string"}}}
        )
        worker = WorkerAnnouncement(
            worker_id="w",
            events_topic="workflow-events",
            graphs={"vision": vision.digest},
            fleet=["w"],
            steady=True,
            announced_at=datetime.now(UTC),
        )
        hook.announcements = lambda topic: [worker, vision]
        with pytest.raises(
            GraphCheckError, match=r"^agents\[1\]\.type: no worker of the fleet serves a graph named 'text'"
        ):
            operator(mode="sequential", check_graph=True).execute(context())
        with pytest.raises(
            GraphCheckError, match=r"agents\[0\]\.input_data has a field 'image_uri'.* Did you mean 'image_url'"
        ):
            operator(({**VISION, "input_data": {"image_uri": "u"}},), check_graph=True).execute(context())
        assert hook.events == []
        deferred(operator((VISION,), check_graph=True))
        assert len(hook.events) == 1

    def test_every_request_has_the_trace_of_the_task(self, hook, monkeypatch):
        trace = f"00-{'a' * 32}-{'b' * 16}-01"
        monkeypatch.setattr("airflow_provider_langgraph.tasks.agents_task.traceparent_of", lambda ti: trace)
        work = deferred(operator())
        assert hook.traceparents == [trace, trace]
        assert work.traceparent == trace

    def test_every_key_has_its_place(self, hook):
        agent = {
            "name": "night",
            "graph": "writer",
            "assistant": "night",
            "context": {"user": "ann"},
            "model": "small",
            "tags": ["a"],
            "recursion_limit": 9,
            "configurable": {"depth": 2},
        }
        deferred(operator((agent,)))
        [event] = hook.events
        assert (event.graph, event.assistant, event.context) == ("writer", "night", {"user": "ann"})
        assert event.config.model_dump(exclude_none=True) == {
            key: agent[key] for key in ("model", "tags", "recursion_limit", "configurable")
        }

    def test_only_the_first_of_a_sequence_is_asked_at_once_and_the_rest_later_as_its_author_wrote(self, hook):
        last = TEXT | {"previous_as": "draft", "model": "small"}
        work = deferred(operator((VISION, last), "sequential", timeout=60))
        [first] = hook.events
        assert first.attempt.agent == "vision"
        [step] = next_move(work.plan, {"vision": StepEnd(is_success=True, result={"seen": 1})}).steps
        event = work.event(step)
        assert event.event_id == correlation_id(TI_ID, "text")
        assert event.payload.data == {"text": "t", "draft": {"seen": 1}}
        assert (event.graph, event.config.model) == ("text", "small")
        assert (event.deadline, event.attempt.task) == (first.deadline, first.attempt.task)
        assert event.attempt.agent == "text"

    def test_a_supervisor_is_asked_first(self, hook):
        work = deferred(operator(mode="supervisor", orchestrator=BOSS | {"input_data": {"goal": "g"}}))
        [event] = hook.events
        assert (event.graph, event.attempt.agent) == ("router", "orchestrator#1")
        assert event.event_id == correlation_id(TI_ID, "orchestrator#1")
        assert event.payload.data["goal"] == "g"
        assert work.plan.max_rounds == 10

    @pytest.mark.parametrize(
        ("agent", "says"),
        [
            ({"input_data": {"n": float("nan")}}, r"agents\[1\]\.input_data\.n: .*It must be JSON, which has no NaN"),
            ({"input_data": {"n": object()}}, r"agents\[1\]\.input_data\.n: an object has no JSON form"),
            ({"recursion_limit": 0}, r"agents\[1\]\.recursion_limit: "),
            ({"context": "text"}, r"agents\[1\]\.context: .*write a mapping with templates inside"),
            ({"input_data": {"n": "\ud800"}}, r"^agents\[1\]\.input_data: .* has half of a surrogate pair"),
            ({"input_data": {"n": "y" * 1_030_000}}, r"^agents\[1\]\.input_data: .* bytes, over the limit of 1,"),
        ],
    )
    @pytest.mark.parametrize("fields", [{}, {"mode": "sequential"}, {"mode": "supervisor", "orchestrator": BOSS}])
    def test_what_cannot_be_sent_later_is_refused_before_anything_is_asked(self, hook, agent, says, fields):
        with pytest.raises(SettingsError, match=says):
            operator((VISION, {"type": "text", **agent}), **fields).execute(context())
        assert hook.events == []

    def test_what_is_handed_on_takes_the_place_of_what_cannot_be_sent(self, hook):
        replaced = TEXT | {"input_data": {"draft": "\ud800"}, "previous_as": "draft"}
        deferred(operator((VISION, replaced), "sequential"))
        assert len(hook.events) == 1

    def test_what_needs_no_more_input_leaves_none_with_the_trigger(self):
        assert [agent.input for agent in deferred(operator()).plan.agents] == [None, None]
        assert [agent.input for agent in deferred(operator(mode="sequential")).plan.agents] == [
            VISION["input_data"],
            TEXT["input_data"],
        ]

    def test_what_a_trigger_cannot_keep_is_refused_before_anything_is_asked(self, hook):
        large = [{"name": name, "type": "text", "input_data": {"text": "x" * 600_000}} for name in ("one", "other")]
        with pytest.raises(SettingsError, match="which the trigger keeps until they are asked"):
            operator((VISION, *large), "sequential").execute(context())
        assert hook.events == []
        deferred(operator((VISION, *large)))
        assert len(hook.events) == 3  # these are published, and the trigger keeps nothing of them

    @pytest.mark.parametrize("native", [False, True])
    def test_templates_are_rendered_and_names_stay_text(self, hook, native):
        agents = ({"type": "{{ params.order }}", "name": "a", "input_data": {"n": "{{ params.graph }}"}},)
        deferred(operator(agents, native=native))
        [event] = hook.events
        assert (event.graph, event.payload.data) == ("12_34", {"n": "writer"})

    @pytest.mark.parametrize("key", ["type", "name", "assistant", "model"])
    def test_a_name_in_which_a_value_is_none_asks_no_one(self, hook, key):
        agents = (VISION, {"type": "text", key: "x-{{ params.depth if false else none }}"})
        one = operator(agents)
        one.render_template_fields({"params": PARAMS})
        with pytest.raises(SettingsError, match=rf"^agents\[1\]\.{key}: a value in its template is None, and would"):
            one.execute(context())
        assert hook.events == []

    def test_a_name_is_its_graphs_where_none_is_given(self, hook):
        deferred(operator(({"type": "{{ params.order }}"},), native=True))
        assert hook.events[0].attempt.agent == "12_34"

    def test_each_instance_of_a_mapped_task_has_agents_of_its_own(self, hook):
        with DAG("d", params=PARAMS) as dag:
            mapped = MultiAgentOperator.partial(task_id="agents", defer_after=0).expand(agents=[[VISION], [TEXT]])
        for number in (0, 1):
            seen = context(map_index=number)
            seen |= {"dag": dag, "expanded_ti_count": 2, "dag_run": SimpleNamespace(conf={}, start_date=None)}
            mapped.render_template_fields(seen)
            with pytest.raises(TaskDeferred):
                seen["task"].execute(seen)
        assert [event.graph for event in hook.events] == ["vision", "text"]
        assert len({event.attempt.task for event in hook.events}) == 2

    def test_what_another_task_returned_can_be_an_input(self):
        with DAG("d"):

            @task
            def load():
                return {"a": 1}

            one = MultiAgentOperator(task_id="agents", agents=[{"type": "a", "input_data": load()}])
            whole = MultiAgentOperator(task_id="whole", agents=[VISION, load.override(task_id="agent")()])
        assert one.upstream_task_ids == {"load"}
        assert whole.upstream_task_ids == {"agent"}

    def test_a_newer_try_is_announced_once(self, hook):
        deferred(operator(fleet={"control": "steer"}), try_number=2)
        assert [topic for topic, _ in hook.calls].count("steer") == 1

    def test_if_one_cannot_be_published_those_before_it_are_cancelled(self, hook, monkeypatch):
        publish = hook.publish

        def refuse(event, topic, **_):
            if event.attempt.agent == "text":
                raise PublishError("no answer")
            publish(event, topic)

        monkeypatch.setattr(hook, "publish", refuse)
        with pytest.raises(PublishError):
            operator().execute(context())
        assert ("workflow-control", correlation_id(TI_ID, "vision")) in hook.calls

    @pytest.mark.parametrize(("mode", "count"), [("parallel", 2), ("sequential", 1), ("supervisor", 1)])
    def test_one_that_was_killed_before_it_defers_leaves_no_agent_at_work(self, hook, mode, count):
        fields = {"orchestrator": BOSS, "max_rounds": 2} if mode == "supervisor" else {}
        killed = operator(mode=mode, **fields)
        seen = context()
        seen["ti"].get_task_states = lambda *_, **__: {"run_1": {"agent": "failed"}}
        with pytest.raises(RunCancelled):
            killed.execute(seen)
        assert [topic for topic, _ in hook.calls].count("workflow-control") == count

    def test_a_deferral_that_airflow_has_ended_cancels_whatever_may_be_at_work(self, hook):
        ended = operator(mode="sequential")._ended(TaskDeferralTimeout("timeout"), context())
        assert isinstance(ended, RunTimedOut)
        assert "is a triggerer running" in str(ended)
        assert [request for _, request in hook.calls] == [correlation_id(TI_ID, name) for name in ("vision", "text")]


def result(status, agent="vision", **fields):
    fields = {"result": {"from": agent} if status == "success" else None} | fields
    return WorkflowResultEvent(
        correlation_id=correlation_id(TI_ID, agent), workflow_id="d", workflow_run_id="r", status=status, **fields
    )


def payload(work, replies, problem="", most_bytes=10**6):
    return packed(work, {step: answer_of(reply) for step, reply in replies.items()}, problem, most_bytes)


def replied(status, agent="vision", **fields):
    message = encode(result(status, agent, **fields))
    return reply_of(Record("results", 0, 7, message.value, message.headers), str(correlation_id(TI_ID, agent)))


class TestOutcome:
    @pytest.fixture
    def seen(self):
        seen = context()
        seen["pushed"] = {}
        seen["ti"].xcom_push = lambda key, value: seen["pushed"].update({key: value})
        return seen

    def ended(self, one, seen, replies, problem=""):
        work = deferred(one)
        return one.execute_complete(seen, dict(payload(work, replies, problem)))

    def test_the_results_are_returned_by_name_in_the_authors_order(self, seen):
        replies = {"text": replied("success", "text"), "vision": replied("success")}
        values = self.ended(operator(), seen, replies)
        assert values == {"vision": {"from": "vision"}, "text": {"from": "text"}}
        assert list(values) == ["vision", "text"]
        assert seen["task_state_store"]["langgraph_returned"] == {"by": str(TI_ID)}
        assert seen["pushed"] == {}

    def test_each_agents_result_can_be_an_xcom_of_its_own(self, seen, monkeypatch):
        one = operator(multiple_outputs=True)
        values = self.ended(one, seen, {"text": replied("success", "text"), "vision": replied("success")})
        kept = {}
        ti = SimpleNamespace(task=one, is_mapped=False, xcom_push=lambda key, value: kept.update({key: value}))
        monkeypatch.setattr(task_runner, "_xcom_push", lambda ti, key, value, **_: kept.update({key: value}))
        task_runner._push_xcom_if_needed(values, ti, structlog.get_logger())
        assert kept == {**values, "return_value": values}
        assert one.output["text"].key == "text"

    def test_what_all_steps_took_is_one_usage(self, seen):
        def used(tokens):
            return {"m": ModelUsage(requests=1, total_tokens=tokens, cost_usd=0.5)}

        one = operator(mode="supervisor", orchestrator=BOSS)
        replies = {
            "orchestrator#1": replied("success", "orchestrator#1", usage=used(1)),
            "text#1": replied("failure", "text#1", usage=used(20)),
            "text#2": replied("success", "text#2", usage=used(300)),
            "vision#1": Reply(kind="silence", error=""),
            "orchestrator#3": replied("success", "orchestrator#3", usage={}, result={"next": "FINISH"}),
        }
        with pytest.raises(RunTimedOut):
            self.ended(one, seen, replies)
        usage = seen["pushed"]["usage"]
        assert (usage["requests"], usage["total_tokens"], usage["cost"]) == (3, 321, "1.5")
        assert usage["models"]["m"]["total_tokens"] == 321

    def test_of_a_supervisor_the_last_result_of_each_agent_and_the_orchestrators_own(self, seen):
        one = operator(mode="supervisor", orchestrator=BOSS)
        replies = {
            "orchestrator#1": replied("success", "orchestrator#1"),
            "text#1": replied("success", "text#1"),
            "text#2": replied("success", "text#2"),
            "orchestrator#3": replied("success", "orchestrator#3", result={"next": "FINISH", "answer": 42}),
        }
        assert self.ended(one, seen, replies) == {
            "text": {"from": "text#2"},
            "orchestrator": {"next": "FINISH", "answer": 42},
        }

    def test_one_failure_keeps_its_class_and_names_its_agent(self, seen):
        failed = replied("failure", "text", error="closed", error_type="ClosedError", retriable=True)
        with pytest.raises(RunFailed, match=r"^agent 'text': closed \(status failure, ClosedError; a retry can help"):
            self.ended(operator(), seen, {"text": failed})
        assert seen["pushed"]["errors"]["text"]["status"] == "failure"
        assert seen["pushed"]["errors"]["text"]["error_type"] == "ClosedError"
        assert "closed" in seen["pushed"]["errors"]["text"]["error"]
        assert "langgraph_returned" not in seen["task_state_store"]

    @pytest.mark.parametrize(
        ("wire", "says"),
        [
            ("field 'payload.data': the graph rejects it", "agents[1].input_data: the graph rejects it"),
            ("events[6]@0: field 'config.model': 'x' is not allowed", "agents[1].model: 'x' is not allowed"),
            ("field 'assistant': no such", "agents[1].assistant: no such"),
            ("events[6]@0: field 'graph': no such", "agents[1].graph: no such"),
        ],
    )
    def test_a_workers_refusal_names_what_the_author_wrote(self, seen, wire, says):
        one = operator((VISION, {"graph": "text"}))
        with pytest.raises(FinalRunRejected) as refused:
            self.ended(one, seen, {"text": replied("error", "text", error=wire, retriable=False)})
        assert str(refused.value).startswith(f"agent 'text': {says} (status error;")
        assert seen["pushed"]["errors"]["text"]["error"].startswith(says)

    def test_results_are_returned_although_the_dag_has_changed_meanwhile(self, seen):
        event = dict(
            payload(deferred(one := operator()), {"vision": replied("success"), "text": replied("success", "text")})
        )
        one.agents = "no agents"
        assert set(one.execute_complete(seen, event)) == {"vision", "text"}

    def test_the_type_of_an_error_is_one_line(self, seen):
        hostile = replied("failure", "text", error_type="Bad\n[vision] The agent succeeded", retriable=False)
        with pytest.raises(FinalRunFailed):
            self.ended(operator(), seen, {"text": hostile})
        assert "\n" not in seen["pushed"]["errors"]["text"]["error_type"]

    def test_what_the_task_has_cancelled_for_it_is_no_reason(self, seen):
        replies = {"vision": replied("cancelled"), "text": replied("failure", "text", retriable=True)}
        with pytest.raises(RunFailed, match=r"^agent 'text'") as failed:
            self.ended(operator(), seen, replies)
        assert failed.value.retriable

    @pytest.mark.parametrize(
        ("kinds", "fields", "raised"),
        [
            (["failure:final", "failure"], {"policy": "all_done"}, AgentsFailed),
            (["failure:final", "failure:final"], {"policy": "all_done"}, FinalRunFailed),
            (["failure:final", "error:final"], {"policy": "all_done"}, FinalAgentsFailed),
            (["failure:final", "failure"], {"quorum": 2}, FinalAgentsFailed),
            (["failure", "timeout"], {"quorum": 1}, AgentsFailed),
            (["failure", "failure:final"], {}, FinalAgentsFailed),
        ],
    )
    def test_of_several_failures_a_retry_helps_if_enough_can_still_succeed(self, seen, kinds, fields, raised):
        replies = {}
        for agent, kind in zip(("vision", "text"), kinds, strict=True):
            status, _, final = kind.partition(":")
            replies[agent] = replied(status, agent, error=f"no {agent}", retriable=not final)
        with pytest.raises(
            raised, match=r"^2 of 2 agents failed: agent 'vision': no vision .*; agent 'text'"
        ) as failed:
            self.ended(operator(**fields), seen, replies)
        assert type(failed.value) is raised
        assert set(seen["pushed"]["errors"]) == {"vision", "text"}

    @pytest.mark.parametrize("fields", [{"policy": "all_done"}, {"quorum": 1}])
    def test_those_that_succeeded_are_returned_and_the_others_are_an_xcom(self, seen, fields):
        replies = {"vision": replied("failure", error="closed"), "text": replied("success", "text")}
        assert self.ended(operator(**fields), seen, replies) == {"text": {"from": "text"}}
        assert set(seen["pushed"]["errors"]) == {"vision"}

    def test_with_all_done_a_later_failure_takes_no_result_from_an_agent(self, seen):
        """The orchestrator was given the error, and has decided to end."""
        one = operator(mode="supervisor", orchestrator=BOSS, policy="all_done")
        replies = {
            "text#1": replied("success", "text#1"),
            "text#2": replied("success", "text#2"),
            "text#3": replied("failure", "text#3", error="closed"),
            "vision#1": replied("failure", "vision#1", error="closed"),
            "orchestrator#5": replied("success", "orchestrator#5", result={"next": "FINISH"}),
        }
        assert self.ended(one, seen, replies) == {"text": {"from": "text#2"}, "orchestrator": {"next": "FINISH"}}
        assert set(seen["pushed"]["errors"]) == {"vision", "text"}
        assert "langgraph_returned" in seen["task_state_store"]

    def test_with_fail_fast_an_earlier_success_saves_no_task(self, seen):
        one = operator(mode="supervisor", orchestrator=BOSS)
        replies = {
            "text#1": replied("success", "text#1"),
            "orchestrator#2": replied("success", "orchestrator#2"),
            "text#2": replied("failure", "text#2", error="closed", retriable=True),
        }
        with pytest.raises(RunFailed, match=r"^agent 'text': closed"):
            self.ended(one, seen, replies)

    def test_what_an_older_trigger_passes_on_is_read(self, seen):
        event = dict(payload(deferred(one := operator()), {"vision": replied("failure", error="closed")}))
        del event["earlier"]
        with pytest.raises(RunFailed, match=r"^agent 'vision': closed"):
            one.execute_complete(seen, event)

    def test_an_orchestrator_that_fails_fails_the_task(self, seen):
        one = operator(mode="supervisor", orchestrator=BOSS, policy="all_done")
        replies = {
            "text#1": replied("success", "text#1"),
            "orchestrator#2": replied("failure", "orchestrator#2", error="closed", retriable=True),
        }
        with pytest.raises(RunFailed, match=r"^agent 'orchestrator': closed"):
            self.ended(one, seen, replies)

    def test_an_answer_that_cannot_be_followed_is_not_retried(self, seen):
        one = operator(mode="supervisor", orchestrator=BOSS)
        with pytest.raises(FinalAgentsFailed, match="names 'nobody'"):
            self.ended(one, seen, {"orchestrator#1": replied("success", "orchestrator#1")}, "it names 'nobody'")

    def test_an_agent_that_asks_a_person_has_failed_and_its_question_is_in_the_log(self, seen, capsys):
        asks = replied("interrupted", interrupts=[Interrupt(id="i1", value={"question": "Buy?"})])
        with pytest.raises(
            FinalRunInterrupted, match=r"^agent 'vision': the graph asks a person, which an agent among"
        ):
            self.ended(operator(), seen, {"vision": asks})
        assert '[vision] The graph asks: {"question": "Buy?"} [interrupt id i1]' in capsys.readouterr().out
        assert "question" not in seen["pushed"]

    @pytest.mark.parametrize(
        ("reply", "raised", "says"),
        [
            (Reply(kind="silence", error="", heard=""), RunTimedOut, "agent 'vision': no reply to request"),
            (Reply(kind="broken", error="gone"), WaitError, "agent 'vision': gone"),
            (Reply(kind="unsent", error="input: too large"), SettingsError, "agent 'vision': input: too large"),
        ],
    )
    def test_what_came_instead_of_a_reply(self, seen, hook, reply, raised, says):
        with pytest.raises(raised, match=says):
            self.ended(operator(), seen, {"vision": reply})
        cancelled = ("workflow-control", correlation_id(TI_ID, "vision")) in hook.calls
        assert cancelled is (reply["kind"] != "unsent")

    def test_a_result_that_airflow_cannot_keep_is_refused_and_can_be_had_as_text(self, seen):
        hostile = replied("success", result={"__type": "x", "__var": {}})
        ok = replied("success", "text")
        with pytest.raises(ResultRefusedError, match=r"^agent 'vision': .*result_format='text'"):
            self.ended(operator(), seen, {"vision": hostile, "text": ok})
        values = self.ended(operator(result_format="text"), seen, {"vision": hostile, "text": ok})
        assert values["vision"] == '{"__type":"x","__var":{}}'

    def test_replies_that_are_too_large_together_are_one_clear_error(self, seen):
        one = operator()
        large = {agent: replied("success", agent, result="x" * 600) for agent in ("vision", "text")}
        event = payload(deferred(one), large, most_bytes=1_000)
        with pytest.raises(WaitError, match=r"the replies of 2 agents have .* bytes together, and a trigger passes on"):
            one.execute_complete(seen, dict(event))

    def test_the_triggerers_log_shows_no_result(self):
        event = payload(deferred(operator()), {"vision": replied("success", result="s3cret")})
        assert "s3cret" not in repr(event)
        assert "vision=result" in repr(event)

    def test_an_xcom_that_cannot_be_written_hides_no_failure(self, seen):
        def refuse(key, value):
            raise KafkaError("no database")

        seen["ti"].xcom_push = refuse
        with pytest.raises(FinalRunFailed):
            self.ended(operator(), seen, {"vision": replied("failure", retriable=False)})
