"""What users may import: no name is added, renamed or lost unnoticed."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from airflow_provider_langgraph import handle
from airflow_provider_langgraph.requests import handle as requests_handle

PUBLIC = {
    "decorators.langgraph": ["langgraph_task"],
    "exceptions": [
        "AgentsFailed",
        "AnswerTimeoutError",
        "FinalAgentsFailed",
        "FinalRunCancelled",
        "FinalRunFailed",
        "FinalRunInterrupted",
        "FinalRunRejected",
        "FinalRunTimedOut",
        "GraphCheckError",
        "KafkaError",
        "KafkaSettingsError",
        "LangGraphError",
        "MessageRefusedError",
        "OutputSchemaError",
        "PublishError",
        "ResultRefusedError",
        "RunCancelled",
        "RunError",
        "RunFailed",
        "RunInterrupted",
        "RunRejected",
        "RunTimedOut",
        "SettingsError",
        "WaitError",
    ],
    "handle": ["RequestHandle"],
    "hooks.kafka": ["Delivered", "EndOffsets", "KafkaHook"],
    "links.langgraph": ["AgentRunLink", "AgentThreadLink", "AgentTraceLink"],
    "operators.agent": ["LangGraphOperator"],
    "operators.cancel": ["LangGraphCancelOperator"],
    "operators.langgraph": ["LangGraphOperator", "LangGraphTriggerOperator"],
    "operators.multi_agent": ["MultiAgentOperator"],
    "operators.resume": ["LangGraphResumeOperator"],
    "requests.handle": ["RequestHandle"],
    "retry_policies": ["LangGraphRetryPolicy"],
    "sensors.langgraph": ["LangGraphResultSensor"],
    "triggers.multi_agent": ["MultiAgentTrigger"],
    "triggers.result": ["WorkflowResultTrigger"],
}


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_module_exports_these_names(name):
    module = importlib.import_module(f"airflow_provider_langgraph.{name}")
    assert sorted(module.__all__) == PUBLIC[name]
    assert all(hasattr(module, exported) for exported in module.__all__)


def test_the_documented_path_of_the_handle_leads_to_the_same_class():
    assert handle.RequestHandle is requests_handle.RequestHandle


@pytest.mark.parametrize(
    "package", ["", ".decorators", ".hooks", ".links", ".operators", ".requests", ".sensors", ".triggers"]
)
def test_a_package_imports_nothing_by_itself_but_its_version(package):
    """DAG files import modules of them, and must stay cheap to parse."""
    module = importlib.import_module(f"airflow_provider_langgraph{package}")
    tree = ast.parse(Path(module.__file__).read_text())
    imports = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert imports == ([] if package else ["from importlib.metadata import version"])
