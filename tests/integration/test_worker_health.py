"""A worker's health port, on a real broker."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from devtools.broker import Broker
from devtools.postgres import PostgresServer
from devtools.processes import wait_until
from tests.support.worker import PLAIN, Desk, desk_of
from workflow_events import ResultStatus

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


def address(desk: Desk) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", desk.logged("health and figures at"))
    assert found
    return found[0]


def figures(desk: Desk) -> dict[str, float]:
    """The figures by name and labels, as Prometheus writes them."""
    text = httpx.get(f"{address(desk)}/metrics", timeout=10).text
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[sample.name.removeprefix("langgraph_worker_") + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def wait_for(desk: Desk, expected: dict[str, float]) -> None:
    """Wait until the figures are these: some are asked for every few seconds."""

    def are_there() -> bool:
        found = figures(desk)
        return all(found.get(name) == value for name, value in expected.items())

    try:
        wait_until("the figures", are_there, timeout=30.0)
    except Exception as error:
        found = figures(desk)
        raise AssertionError({name: found.get(name) for name in expected}) from error


def status(desk: Desk, path: str) -> tuple[int, dict[str, Any]]:
    found = httpx.get(f"{address(desk)}{path}", timeout=10)
    return found.status_code, found.json()


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_the_figures_are_what_the_worker_has_done(
    request: pytest.FixtureRequest, broker: Broker, tmp_path: Path, store: str
) -> None:
    env: dict[str, Any] = {"health_port": 0, "concurrency": 3, "max_waiting": 100}
    if store == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        env["store_url"] = server.create_database("health")
    with desk_of(broker, tmp_path / "worker", **env) as desk, desk.worker:
        wait_until("the worker to be healthy", lambda: status(desk, "/healthz")[0] == 200, timeout=30.0)
        assert status(desk, "/readyz")[1]["phase"] == "ready"
        for _ in range(3):
            assert desk.run("echo", {"task": "x"}).status is ResultStatus.SUCCESS
        assert desk.run("raises", {}).status is ResultStatus.FAILURE
        assert desk.run("asks", {}).status is ResultStatus.INTERRUPTED
        desk.send(json.dumps({**PLAIN, "event_type": "wrong"}))
        gate = desk.gate()
        held = desk.ask("gated", gate.data)
        gate.wait_for("waiting")
        wait_for(
            desk,
            {
                "requests_total{decision=fresh,graph=echo}": 3,
                "run_starts_total{graph=echo,start=first}": 3,
                "runs_total{graph=echo,status=success}": 3,
                "run_seconds_count{graph=echo}": 3,
                "runs_total{graph=raises,status=failure}": 1,
                "runs_total{graph=asks,status=interrupted}": 1,
                "refused_total{error_type=invalid_event}": 1,
                "dead_letters_total{error_type=invalid_event}": 1,
                "slots": 3,
                "slots_in_use": 1,
                "results_published_total": 5,
                "fleet_requests_running{graph=gated}": 1,
                "fleet_requests_waiting{graph=gated}": 0,
                "fleet_results_unpublished": 0,
                "fleet_events_lag": 0,
                "reachable{part=broker}": 1,
                "reachable{part=store}": 1,
            },
        )
        gate.open()
        assert desk.answer(held).status is ResultStatus.SUCCESS
        wait_for(desk, {"slots_in_use": 0, "runs_total{graph=gated,status=success}": 1})
        assert figures(desk)["checkpoint_bytes_count{graph=echo}"] > 0


def test_the_port_answers_while_the_loop_hangs_and_says_so(broker: Broker, tmp_path: Path) -> None:
    with desk_of(broker, tmp_path / "worker", health_port=0, lease_seconds=60, renew_seconds=5) as desk, desk.worker:
        gate = desk.gate()
        desk.ask("stands_still", {**gate.data, "size": 10_000})
        gate.wait_for("began")
        wait_until("the port to say so", lambda: status(desk, "/healthz")[0] == 503, timeout=60.0)
        body = status(desk, "/healthz")[1]
        assert body["loop"]["alive"] is False
        assert body["loop"]["silent_seconds"] >= 5
        assert status(desk, "/livez")[0] == 200  # its own watch judges that later, and spares the other runs
        assert figures(desk)["loop_silent_seconds"] >= 5
        assert desk.worker.child is not None
        desk.worker.child.kill()


def test_a_worker_that_is_asked_for_json_writes_every_line_of_a_run_with_its_names(
    broker: Broker, tmp_path: Path
) -> None:
    with desk_of(broker, tmp_path / "worker", health_port=0, log_format="json") as desk:
        desk.worker.launch()
        desk.worker.wait_ready()
        asked = desk.ask("echo", {"task": "x"})
        desk.answer(asked)
        desk.logged("published the result")
        desk.worker.stop()
        assert desk.worker.child is not None
        lines = [json.loads(line) for line in desk.worker.child.output().splitlines()]
    of_run = [line for line in lines if line.get("correlation_id") == str(asked)]
    assert {line["action"] for line in of_run} >= {"accepted", "started", "finished", "published"}
    [finished] = [line for line in of_run if line["action"] == "finished"]
    assert (finished["workflow_id"], finished["workflow_run_id"]) == (PLAIN["workflow_id"], PLAIN["workflow_run_id"])
