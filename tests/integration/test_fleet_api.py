"""The fleet's API beside a worker, on a real Kafka and PostgreSQL: a client that knows nothing of this project."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from devtools.broker import Broker
from devtools.processes import Child, free_port, wait_until
from langgraph_worker.api.tokens import digest_of
from tests.support.worker import Desk, desk_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@dataclass
class Api:
    """The API's process, and a client."""

    desk: Desk
    child: Child
    client: httpx.Client

    def post(self, path: str, body: Any = None, key: str | None = None) -> dict[str, Any]:
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = self.client.post(path, json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        accepted: dict[str, Any] = answer.json()
        return accepted

    def get(self, path: str) -> dict[str, Any]:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def wait_for(self, name: str, status: str) -> dict[str, Any]:
        """The run, as soon as it has this status."""

        def run() -> dict[str, Any] | None:
            answer = self.client.get(f"/runs/{name}")
            found: dict[str, Any] = answer.json()
            return found if answer.status_code == 200 and found["status"] == status else None

        return wait_until(f"run {name} to be {status}", run, timeout=30.0, show=[self.child])


@contextmanager
def api_of(desk: Desk, folder: Path) -> Iterator[Api]:
    (folder / "tokens.toml").write_text(
        f'[[tokens]]\nname = "service"\nsha256 = "{digest_of("lgw_test")}"\nrole = "operator"\n'
    )
    port = free_port()
    env = {
        **desk.worker.environment,
        "LANGGRAPH_WORKER_API_PORT": str(port),
        "LANGGRAPH_WORKER_API_TOKENS_FILE": str(folder / "tokens.toml"),
    }
    command = [sys.executable, "-m", "langgraph_worker", "api"]
    child = Child("api", command, log=folder / "api.log", env=env, cwd=folder)
    headers = {"Authorization": "Bearer lgw_test"}
    try:
        wait_until("the API", lambda: "API ready" in child.output(), timeout=60.0, show=[child])
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", headers=headers, timeout=30.0) as client:
            yield Api(desk, child, client)
    finally:
        child.stop()


@pytest.fixture
def desk(broker: Broker, tmp_path: Path, postgres_url: str) -> Iterator[Desk]:
    with desk_of(broker, tmp_path, store_url=postgres_url) as desk:
        yield desk


def test_a_run_is_asked_for_followed_answered_and_cancelled(desk: Desk, tmp_path: Path) -> None:
    with desk.worker, api_of(desk, tmp_path) as api:
        echo = api.post("/runs", {"graph": "echo", "input": {"task": "hello"}})["correlation_id"]
        done = api.wait_for(echo, "success")
        assert done["result"]["result"] == api.get(f"/runs/{echo}/result")["result"]
        assert api.get(f"/runs/{echo}/steps")["steps"]
        assert [run["correlation_id"] for run in api.get("/runs?graph=echo&status=success")["runs"]] == [echo]

        gate = desk.gate()
        gated = api.post("/runs", {"graph": "gated", "input": gate.data})["correlation_id"]
        gate.wait_for("waiting")
        assert api.wait_for(gated, "running")
        assert api.post(f"/runs/{gated}/cancel", {"reason": "no longer wanted"})["status"] == "running"
        cancelled = api.wait_for(gated, "cancelled")
        assert "no longer wanted" in cancelled["result"]["error"]
        assert "service" in cancelled["result"]["error"]

        asking = api.post("/runs", {"graph": "asks"})["correlation_id"]
        [question] = api.wait_for(asking, "interrupted")["questions"]
        answers = [{"interrupt_id": question["interrupt_id"], "value": "yes"}]
        answer = api.post(f"/runs/{asking}/answer", {"answers": answers})["correlation_id"]
        api.wait_for(answer, "success")
        [answered] = api.get(f"/runs/{asking}")["questions"]
        assert (answered["state"], answered["answered_by"]) == ("answered", "service")
        assert {graph["name"] for graph in api.get("/graphs")["graphs"]} >= {"echo", "gated"}
        assert len(api.get("/workers")["workers"]) == 1
        assert [path.split("/")[3] for path in api.get("/openapi.json")["paths"] if "{" not in path]
        api.child.stop()
        assert api.child.returncode == 0


def test_a_request_is_taken_while_no_worker_is_up_and_outlives_the_api(desk: Desk, tmp_path: Path) -> None:
    body = {"graph": "echo", "input": {"task": "hello"}}
    with desk.worker:
        pass  # its store is there now
    with api_of(desk, tmp_path) as api:
        first = api.post("/runs", body, key="order-7")
        api.child.kill()
    with api_of(desk, tmp_path) as api:
        assert api.post("/runs", body, key="order-7") == first
        with desk.worker:
            run = api.wait_for(first["correlation_id"], "success")
            assert run["attempts"] == 1
            assert api.post("/runs", body, key="order-7") == first
            assert len(api.get("/runs")["runs"]) == 1
            other = api.client.post("/runs", json={**body, "priority": 1}, headers={"Idempotency-Key": "order-7"})
            assert other.status_code == 409


def test_a_failed_run_is_retried(desk: Desk, tmp_path: Path) -> None:
    with desk.worker, api_of(desk, tmp_path) as api:
        failed = api.post("/runs", {"graph": "raises"})["correlation_id"]
        api.wait_for(failed, "failure")
        [error] = api.get(f"/runs/{failed}/errors")["errors"]
        assert error["error_type"] == "OSError"
        again = api.post(f"/runs/{failed}/retry")
        assert again["how"] == "continuation"
        api.wait_for(again["correlation_id"], "failure")
        attempts = api.get(f"/runs/{failed}/attempts")["attempts"]
        assert [run["correlation_id"] for run in attempts] == [failed, again["correlation_id"]]
