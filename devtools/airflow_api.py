"""The few calls of Airflow's REST API that the demo and the tests make."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from devtools.errors import AirflowError

DONE = frozenset({"success", "failed"})
"""The states of a DAG run that has ended."""

_PAGE_ROWS = 100  # the most that Airflow returns in one answer


@dataclass(frozen=True, slots=True)
class TaskInstance:
    """One task instance, as the API reports it.

    :param id: Airflow's uuid7, new on each retry and clear.
    :param state: "deferred", "success", …; None before it is scheduled.
    :param map_index: -1 for a task that is not mapped.
    :param triggerer: id of the triggerer that waits for it; None if no triggerer does.
    :param duration: seconds from its start to its end, deferrals included; None before.
    """

    id: str
    task_id: str
    state: str | None
    try_number: int
    map_index: int
    triggerer: int | None
    duration: float | None


class AirflowApi:
    """A client of an Airflow whose simple auth manager makes every user an administrator.

    Every method but :meth:`health` raises :class:`AirflowError` when Airflow refuses or does not answer.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        # A proxy of the caller's environment cannot reach 127.0.0.1.
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def health(self) -> dict[str, str | None]:
        """By component: "healthy", "unhealthy" or None (never seen). Empty while the server does not answer."""
        try:
            answer = self._http.get("/api/v2/monitor/health")
        except httpx.TransportError:
            return {}
        if answer.status_code != httpx.codes.OK:
            return {}
        return {name: part["status"] for name, part in answer.json().items() if part}

    def has_dag(self, dag_id: str) -> bool:
        """Whether the DAG is parsed.

        :raises AirflowError: it is not parsed, and a DAG file cannot be imported.
        """
        try:
            self._call("GET", f"/dags/{dag_id}")
        except AirflowError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
            problems = self._call("GET", "/importErrors")["import_errors"]
            if problems:
                raise AirflowError(
                    f"{problems[0]['filename']} cannot be imported:\n{problems[0]['stack_trace']}"
                ) from error
            return False
        return True

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run the DAG."""
        self._call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def add_connection(self, connection_id: str, conn_type: str, extra: Mapping[str, Any]) -> None:
        """Put a connection into Airflow's database."""
        body = {"connection_id": connection_id, "conn_type": conn_type, "extra": json.dumps(dict(extra))}
        self._call("POST", "/connections", json=body)

    def triggerers(self) -> dict[str, int]:
        """The triggerers that are alive: by user name, the id of the newest one."""
        jobs = self._call("GET", "/jobs", params={"job_type": "TriggererJob", "is_alive": True, "limit": _PAGE_ROWS})[
            "jobs"
        ]
        return {job["unixname"]: job["id"] for job in sorted(jobs, key=lambda job: int(job["id"]))}

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> str:
        """Start a DAG run and return its id: the given one, or one that Airflow makes."""
        body = {"logical_date": None, "conf": dict(conf or {}), "dag_run_id": run_id}
        started: str = self._call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"]
        return started

    def set_run_state(self, dag_id: str, run_id: str, state: str) -> None:
        """Mark a DAG run "success", "failed" or "queued", as a person does in the UI."""
        self._call("PATCH", _run(dag_id, run_id), json={"state": state})

    def delete_run(self, dag_id: str, run_id: str) -> None:
        """Delete a DAG run and its task instances. Airflow refuses it while the run is running."""
        self._call("DELETE", _run(dag_id, run_id))

    def run_state(self, dag_id: str, run_id: str) -> str:
        """The state of a DAG run: "queued", "running", or one of :data:`DONE`."""
        state: str = self._call("GET", _run(dag_id, run_id))["state"]
        return state

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstance]:
        """All task instances of a DAG run, mapped ones one by one."""
        found: list[TaskInstance] = []
        while True:
            page = {"limit": _PAGE_ROWS, "offset": len(found), "order_by": "id"}
            rows = self._call("GET", f"{_run(dag_id, run_id)}/taskInstances", params=page)["task_instances"]
            found += map(_task_instance, rows)
            if len(rows) < _PAGE_ROWS:
                return found

    def count(self, dag_id: str, run_id: str, task_id: str, state: str) -> int:
        """The number of a mapped task's instances that are in the state."""
        which = {"task_id": task_id, "state": state, "limit": 1}
        answer = self._call("GET", f"{_run(dag_id, run_id)}/taskInstances", params=which)
        return int(answer["total_entries"])

    def task_instance(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> TaskInstance:
        """One task instance.

        :raises AirflowError: the DAG run has no such instance.
        """
        for found in self.task_instances(dag_id, run_id):
            if (found.task_id, found.map_index) == (task_id, map_index):
                return found
        raise AirflowError(f"{dag_id} {run_id} has no task instance {task_id!r} with map index {map_index}")

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """A value that a task pushed; its return value unless ``key`` says otherwise."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/xcomEntries/{key}"
        return self._call("GET", path, params={"map_index": map_index})["value"]

    def links(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> dict[str, str | None]:
        """A task's links by name, as its page shows them; None for one that has no URL, which is not shown."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/links"
        found: dict[str, str | None] = self._call("GET", path, params={"map_index": map_index})["extra_links"]
        return found

    def logs(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """A task's log: a line for each event, with the tracebacks of its errors."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/logs/{try_number}"
        answer = self._call("GET", path, params={"full_content": True, "map_index": map_index})
        return "\n".join(line if isinstance(line, str) else _log_line(line) for line in answer["content"])

    def clear(self, dag_id: str, run_id: str, task_ids: Sequence[str], *, downstream: bool = True) -> None:
        """Clear tasks of a DAG run, whatever their state, so that they run again."""
        body = {
            "dry_run": False,
            "only_failed": False,
            "dag_run_id": run_id,
            "task_ids": list(task_ids),
            "include_downstream": downstream,
        }
        self._call("POST", f"/dags/{dag_id}/clearTaskInstances", json=body)

    def set_state(self, dag_id: str, run_id: str, task_id: str, state: str, map_index: int = -1) -> None:
        """Mark a task instance "success", "failed" or "skipped", as a person does in the UI."""
        place = f"{_run(dag_id, run_id)}/taskInstances/{task_id}"
        self._call("PATCH", place if map_index < 0 else f"{place}/{map_index}", json={"new_state": state})

    def required_actions(self, dag_id: str = "~", run_id: str = "~") -> list[dict[str, Any]]:
        """What people are asked and have not answered, as the API reports it."""
        found: list[dict[str, Any]] = []
        while True:
            page = {"response_received": False, "limit": _PAGE_ROWS, "offset": len(found), "order_by": "ti_id"}
            rows = self._call("GET", f"{_run(dag_id, run_id)}/hitlDetails", params=page)["hitl_details"]
            found += rows
            if len(rows) < _PAGE_ROWS:
                return found

    def answer(
        self, dag_id: str, run_id: str, task_id: str, button: str, map_index: int = -1, **fields: str | None
    ) -> None:
        """Answer what a task asks, as a person does in the UI."""
        path = f"{_run(dag_id, run_id)}/taskInstances/{task_id}/{map_index}/hitlDetails"
        self._call("PATCH", path, json={"chosen_options": [button], "params_input": fields})

    def occupied_slots(self, pool: str = "default_pool") -> int:
        """How many slots of a pool tasks hold now."""
        return int(self._call("GET", f"/pools/{pool}")["occupied_slots"])

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        if "Authorization" not in self._http.headers:
            token = self._request("GET", "/auth/token")["access_token"]
            self._http.headers["Authorization"] = f"Bearer {token}"
        return self._request(method, f"/api/v2{path}", **arguments)

    def _request(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            answer = self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise AirflowError(f"Airflow's API server at {self.url} does not answer: {error!r}") from error
        if answer.is_error:
            raise AirflowError(
                f"Airflow answers {answer.status_code} to {method} {path}: {answer.text[:500]}", answer.status_code
            )
        return answer.json() if answer.content else None


def _task_instance(row: Mapping[str, Any]) -> TaskInstance:
    names = ("id", "task_id", "state", "try_number", "map_index", "duration")
    trigger = row["trigger"] or {}
    return TaskInstance(**{name: row[name] for name in names}, triggerer=trigger.get("triggerer_id"))


def _run(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{run_id}"


def _log_line(event: Mapping[str, Any]) -> str:
    words = [str(event.get("timestamp") or ""), str(event.get("level") or "").upper(), event["event"]]
    errors = [f"{error['exc_type']}: {error['exc_value']}" for error in event.get("error_detail") or ()]
    return "\n".join([" ".join(filter(None, words)), *errors])
