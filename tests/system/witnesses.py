"""What tests of waiting tasks share: runs of the graph ``witness``, and what the topics tell of their requests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

from devtools.airflow import AirflowStack
from devtools.airflow_api import TaskInstance
from devtools.processes import wait_until
from tests.support.kafka import KafkaTopics
from workflow_events.identity import correlation_id

SECONDS = 30.0


def request_of(task: TaskInstance) -> str:
    """The correlation id under which this try asks."""
    return str(correlation_id(UUID(task.id)))


class Folder:
    """What the graphs of one test read and write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open_gate(self, *names: str) -> None:
        """Let these runs end; without names, all."""
        for gate in [f"gate-{name}" for name in names] or ["gate"]:
            (self.path / gate).touch()

    def times(self, name: str, what: str) -> list[float]:
        """When a run began ("begun"), was stopped ("stopped") or came to its end ("done"), in seconds since 1970."""
        return [line["at"] for line in self._lines() if (line["name"], line["what"]) == (name, what)]

    def wait_for(self, name: str, what: str, count: int = 1) -> float:
        """Wait until a run notes this for the ``count``-th time; when that was."""
        found = wait_until(
            f"the agent of {name} to be {what} ({count})",
            lambda: times if len(times := self.times(name, what)) >= count else None,
            timeout=SECONDS,
        )
        return found[count - 1]

    def _lines(self) -> list[dict[str, Any]]:
        path = self.path / "ledger"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Wire:
    """What was said of requests on the topics of the session's fleet."""

    def __init__(self, topics: KafkaTopics) -> None:
        self._topics = topics

    def cancels(self, requests: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Which of the requests somebody cancelled: the first message of each."""
        wanted = set(requests)
        found: dict[str, dict[str, Any]] = {}
        for message in self._all(self._topics.fleet.control):
            if message["event_type"] == "workflow.cancelled" and message["correlation_id"] in wanted:
                found.setdefault(message["correlation_id"], message)
        return found

    def answers(self, request: str) -> list[tuple[str, str | None]]:
        """Status and error type of each different answer to a request."""
        return self._answers({request}).get(request, [])

    def wait_for_answer(self, *requests: str) -> tuple[str, str | None]:
        """Wait until the workers have answered all of the requests; the one answer that each of them got."""
        found = wait_until(
            f"answers to {len(requests)} request(s)",
            lambda: answers if len(answers := self._answers(set(requests))) == len(set(requests)) else None,
            timeout=SECONDS,
            interval=0.5,
        )
        [answer] = {answer for answers in found.values() for answer in answers}
        return answer

    def wait_for_cancel(self, request: str) -> dict[str, Any]:
        """Wait until somebody cancels a request; the message."""
        return wait_until(
            f"a cancel of {request}", lambda: self.cancels([request]).get(request), timeout=SECONDS, interval=0.5
        )

    def _answers(self, requests: set[str]) -> dict[str, list[tuple[str, str | None]]]:
        found: dict[str, dict[tuple[str, str | None], None]] = {}
        for one in self._all(self._topics.fleet.results):
            if one["correlation_id"] in requests:
                found.setdefault(one["correlation_id"], {})[one["status"], one.get("error_type")] = None
        return {request: list(answers) for request, answers in found.items()}

    def _all(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(message.value()) for message in self._topics.read_all(topic)]


def wait_until_held(airflow: AirflowStack, dag_id: str, run_id: str, task_id: str) -> None:
    """Wait until a triggerer waits for a task's reply: a task is deferred a moment before."""
    wait_until(
        f"a triggerer to wait for {task_id} of {dag_id}",
        lambda: "Waiting for the answer" in airflow.api.logs(dag_id, run_id, task_id),
        timeout=2 * SECONDS,
        interval=0.5,
    )


def require_end(airflow: AirflowStack, dag_id: str, run_id: str, state: str, timeout: float = 120.0) -> None:
    """Wait for the end of a DAG run, and require that it ends like this; show the logs if not."""
    ended = airflow.wait_for_run(dag_id, run_id, timeout=timeout)
    if ended != state:
        logs = [
            f"{task.task_id}, try {task.try_number}, {task.state}:\n"
            f"{airflow.api.logs(dag_id, run_id, task.task_id, task.try_number, task.map_index)}"
            for task in airflow.api.task_instances(dag_id, run_id)
        ]
        raise AssertionError(f"{dag_id} {run_id} ended {ended}, not {state}\n" + "\n".join(logs))
