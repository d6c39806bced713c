"""What tests of required actions share: one task that asks people, as they see it in Airflow."""

from __future__ import annotations

from typing import Any

from devtools.airflow import AirflowStack
from devtools.processes import wait_until

SECONDS = 180.0
WAITING = ("awaiting_input", "deferred")
"""The states of a task that waits for a person: from Airflow 3.3 on, and before."""


def is_noticed(airflow: AirflowStack, dag_id: str, run_id: str, task_id: str) -> bool:
    """Whether the scheduler knows that each part of a task which it began is over; of a mapped one, of each instance.

    Airflow fails a task that is resumed before (apache/airflow#71580).
    """
    said = airflow.children["scheduler"].output()
    names = f"dag_id='{dag_id}', task_id='{task_id}', run_id='{run_id}'"
    ended = said.count(f"Received executor event with state success for task instance TaskInstanceKey({names}")
    task = f"<TaskInstance: {dag_id}.{task_id} {run_id} "
    return ended >= sum(line.count(task) for line in said.splitlines() if "Trying to enqueue tasks: " in line)


class AskingTask:
    """A task of a DAG run with a form that people answer.

    :param try_number: the try that asks.
    """

    def __init__(
        self, airflow: AirflowStack, dag_id: str, run_id: str, task_id: str = "trade", try_number: int = 1
    ) -> None:
        self.airflow, self.dag_id, self.run_id, self.task_id = airflow, dag_id, run_id, task_id
        self.try_number = try_number

    def wait(self) -> dict[str, Any]:
        """Wait until it asks, and until Airflow may resume it; the XCom ``question``."""
        wait_until(f"{self.task_id} of {self.dag_id} to ask", self._asks, timeout=SECONDS, interval=0.5)
        wait_until("the scheduler to notice", self._is_noticed, timeout=SECONDS, interval=0.5)
        question: dict[str, Any] = self.airflow.api.xcom(self.dag_id, self.run_id, self.task_id, "question")
        return question

    def wait_deferred(self) -> None:
        """Wait until it is deferred, and until Airflow may resume it."""
        what = f"{self.task_id} of {self.dag_id} to be deferred"
        wait_until(what, lambda: self._state() == "deferred", timeout=SECONDS, interval=0.5)
        wait_until("the scheduler to notice", self._is_noticed, timeout=SECONDS, interval=0.5)

    @property
    def form(self) -> dict[str, Any]:
        """What Airflow shows."""
        [form] = self.airflow.api.required_actions(self.dag_id, self.run_id)
        return form

    def answer(self, button: str, **fields: str) -> None:
        """Press a button of the form as it stands, with some fields filled in."""
        stand = {name: one["value"] for name, one in self.form["params"].items()}
        self.airflow.api.answer(self.dag_id, self.run_id, self.task_id, button, **stand | fields)

    @property
    def log(self) -> str:
        """Of its try."""
        return self.airflow.api.logs(self.dag_id, self.run_id, self.task_id, self.try_number)

    @property
    def result(self) -> Any:
        """What it has returned."""
        return self.airflow.api.xcom(self.dag_id, self.run_id, self.task_id)

    def _asks(self) -> bool:
        return self._state() in WAITING and bool(self.airflow.api.required_actions(self.dag_id, self.run_id))

    def _state(self) -> str | None:
        task = self.airflow.api.task_instance(self.dag_id, self.run_id, self.task_id)
        return task.state if task.try_number == self.try_number else None

    def _is_noticed(self) -> bool:
        return is_noticed(self.airflow, self.dag_id, self.run_id, self.task_id)
