"""Every example DAG, as it stands in the repository, run by a scheduler to its end. A new one joins by its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from devtools.airflow import AirflowStack
from tests.system.required_actions import AskingTask
from tests.system.witnesses import require_end

pytestmark = [
    pytest.mark.system,
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("worker"),
]

EXAMPLES = [file.stem for file in sorted((Path(__file__).parents[2] / "example_dags").glob("example_*.py"))]


def approve_the_trade(airflow: AirflowStack, run_id: str) -> None:
    """As a person does who has read the question."""

    asked = AskingTask(airflow, "example_langgraph_approval", run_id)
    asked.wait()
    form = asked.form
    assert "Buy 10 pieces of ACME?" in form["body"]
    code = form["params"]["code"]
    shown = code["value"] if isinstance(code, dict) else code  # Airflow 3.1 shows the value alone
    airflow.api.answer("example_langgraph_approval", run_id, "trade", "Approve", code=shown)


MEANWHILE: dict[str, Callable[[AirflowStack, str], None]] = {"example_langgraph_approval": approve_the_trade}
"""What a person has to do while an example runs, by its DAG: gets Airflow and the DAG run."""


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_to_its_end(airflow, name):
    run_id = airflow.run_dag(name)
    if name in MEANWHILE:
        MEANWHILE[name](airflow, run_id)
    require_end(airflow, name, run_id, "success")
    tasks = airflow.api.task_instances(name, run_id)
    assert {task.task_id: task.state for task in tasks if task.state not in ("success", "skipped")} == {}
