"""The health port, as a supervisor and Prometheus ask it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from langgraph_worker.errors import SettingsError
from langgraph_worker.telemetry.health import Health
from langgraph_worker.telemetry.health_server import HealthServer
from langgraph_worker.telemetry.metrics import Metrics


class Port:
    def __init__(self) -> None:
        self.now = 0.0
        self.health = Health(120.0, lambda: self.now)
        self.metrics = Metrics(["echo"], slots=4, release="r1")
        self.server = HealthServer("127.0.0.1", 0, self.health, self.metrics)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"http://{self.server.address}{path}", headers=headers, timeout=5)


@pytest.fixture
def port() -> Iterator[Port]:
    port = Port()
    yield port
    port.server.close()


def test_a_worker_that_starts_says_so(port: Port) -> None:
    assert port.get("/livez").status_code == 200
    found = port.get("/readyz")
    assert (found.status_code, found.json()["status"], found.json()["phase"]) == (503, "fail", "starting")
    assert port.get("/healthz").status_code == 503


def test_a_worker_that_works_says_so(port: Port) -> None:
    port.health.enter("ready")
    port.health.answered("broker")
    port.health.answered("store")
    for path in ("/livez", "/readyz", "/healthz", "/healthz?verbose"):
        found = port.get(path)
        assert (found.status_code, found.json()["status"]) == (200, "ok")
        assert found.headers["content-type"] == "application/json"
        assert found.headers["cache-control"] == "no-store"


def test_the_figures_are_prometheus_text_with_what_is_only_known_when_they_are_asked_for(port: Port) -> None:
    port.health.answered("store")
    port.now = 3.0
    found = port.get("/metrics")
    assert found.status_code == 200
    assert found.headers["content-type"].startswith("text/plain")
    lines = found.text.splitlines()
    assert "langgraph_worker_slots 4.0" in lines
    assert "langgraph_worker_loop_silent_seconds 3.0" in lines
    assert 'langgraph_worker_reachable{part="store"} 1.0' in lines
    assert 'langgraph_worker_reachable{part="broker"} 0.0' in lines
    assert 'langgraph_worker_fleet_requests_waiting{graph="echo"} 0.0' in lines
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


def test_openmetrics_is_spoken_where_it_is_asked_for(port: Port) -> None:
    found = port.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert found.headers["content-type"].startswith("application/openmetrics-text")
    assert found.text.endswith("# EOF\n")


def test_other_paths_and_methods_are_refused(port: Port) -> None:
    assert port.get("/").status_code == 404
    assert "/metrics" in port.get("/anything").text
    assert httpx.post(f"http://{port.server.address}/healthz").status_code == 501
    assert httpx.head(f"http://{port.server.address}/livez").text == ""


def test_clients_that_send_nothing_do_not_take_the_port_away_for_ever(port: Port) -> None:
    host, number = port.server.address.split(":")
    idle = [socket.create_connection((host, int(number))) for _ in range(30)]
    for one in idle:
        one.close()
    while True:  # the threads of the closed ones have to end first
        try:
            assert port.get("/livez").status_code == 200
            return
        except httpx.TransportError:
            continue


def test_a_port_that_is_taken_is_refused_with_setting_and_remedy(port: Port) -> None:
    number = int(port.server.address.rpartition(":")[2])
    with pytest.raises(
        SettingsError, match=r"LANGGRAPH_WORKER_HEALTH_PORT: 127\.0\.0\.1:\d+ cannot be used"
    ) as refused:
        HealthServer("127.0.0.1", number, port.health, port.metrics)
    assert "Choose another port" in str(refused.value)
