from __future__ import annotations

import pytest

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.operators.agent import LangGraphOperator
from airflow_provider_langgraph.operators.cancel import LangGraphCancelOperator
from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator
from airflow_provider_langgraph.operators.multi_agent import MultiAgentOperator
from airflow_provider_langgraph.operators.resume import LangGraphResumeOperator
from airflow_provider_langgraph.sensors.langgraph import LangGraphResultSensor
from airflow_provider_langgraph.tasks.checked_arguments import require_known_arguments


class Branded(LangGraphTriggerOperator):
    """An author's own form of the operator."""

    def __init__(self, *, desk, **kwargs):
        super().__init__(graph=desk, **kwargs)


@pytest.mark.parametrize(
    ("operator", "given", "says"),
    [
        (LangGraphTriggerOperator, {"grph": "w"}, "takes no argument 'grph' (task 't'). Did you mean 'graph'?"),
        (LangGraphTriggerOperator, {"Input": {}}, "Did you mean 'input'?"),
        (LangGraphTriggerOperator, {"retires": 3}, "Did you mean 'retries'?"),
        (LangGraphTriggerOperator, {"agent_config": {}}, "(task 't'). It is one of LangGraphOperator"),
        (
            LangGraphTriggerOperator,
            {"x" * 5000: 1},
            "It takes those of every Airflow task, and answer_timeout, assigned_users, assistant",
        ),
        (LangGraphOperator, {"agent_confg": {}}, "Did you mean 'agent_config'?"),
        (LangGraphOperator, {"thread": "t"}, "Did you mean 'thread_id'?"),
        (LangGraphResultSensor, {"handle": {}, "output_shema": "x"}, "Did you mean 'output_schema'?"),
        (LangGraphResultSensor, {"handle": {}, "softfail": True}, "Did you mean 'soft_fail'?"),
        (LangGraphCancelOperator, {"correlation_id": "x", "reasn": "y"}, "Did you mean 'reason'?"),
        (LangGraphResumeOperator, {"question": {}, "answr": 1, "answer": 2}, "Did you mean 'answer'?"),
        (LangGraphTriggerOperator, {"response_timeout": 5}, "Write answer_timeout=..."),
        (LangGraphTriggerOperator, {"state": {}}, "Write input=..."),
        (LangGraphOperator, {"state": {}}, "Write input_data=..."),
        (LangGraphTriggerOperator, {"model": "m"}, "Write config={'model': ...}"),
        (LangGraphTriggerOperator, {"recursion_limit": 5}, "Write config={'recursion_limit': ...}"),
        (LangGraphOperator, {"tags": []}, "Write agent_config={'tags': ...}"),
        (MultiAgentOperator, {"agents": [], "tags": []}, "Write agents=[{..., 'tags': ...}]"),
        (LangGraphResumeOperator, {"question": {}, "tokens": 5}, "Write budget={'tokens': ...}"),
        (LangGraphResumeOperator, {"question": {}, "interrupt_id": "i"}, "Write answers={interrupt_id: answer}"),
        (LangGraphResumeOperator, {"question": {}, "on_retry": "resume"}, "It is one of LangGraphTriggerOperator"),
        (LangGraphCancelOperator, {"on_retry": "resume"}, "It is one of LangGraphTriggerOperator"),
        (LangGraphCancelOperator, {"onretry": "resume"}, "It takes those of every Airflow task, and correlation_id"),
        (LangGraphResultSensor, {"correlation_id": "c"}, "Write handle=ask.output"),
        (MultiAgentOperator, {"agent": []}, "takes no argument 'agent' (task 't'). Did you mean 'agents'?"),
        (LangGraphResumeOperator, {"qestion": {}, "answer": 1}, "Did you mean 'question'?"),
        (LangGraphResultSensor, {"handel": {}}, "Did you mean 'handle'?"),
        (
            Branded,
            {"dsek": "w"},
            "Branded takes no argument 'dsek' (task 't').",
        ),
        (
            Branded,
            {"desk": "w", "tread_id": "t"},
            "Branded takes no argument 'tread_id' (task 't'). Did you mean 'thread_id'?",
        ),
    ],
)
def test_a_misspelt_argument_is_named_with_what_was_meant(operator, given, says):
    with pytest.raises(SettingsError) as refused:
        operator(task_id="t", **given)
    assert says in str(refused.value)
    assert operator.__name__ in str(refused.value)


def test_what_airflow_and_a_subclass_take_is_known():
    one = Branded(task_id="t", desk="writer", retries=3, doc_md="x", multiple_outputs=True)
    assert (one.graph, one.retries) == ("writer", 3)


def test_the_arguments_of_airflow_itself_are_no_ones_to_check():
    require_known_arguments(LangGraphTriggerOperator, ["_airflow_mapped_validation_only"])
