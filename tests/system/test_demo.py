"""``make demo`` as a person runs it: its own process, on the embedded broker, with free ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devtools.processes import free_port, wait_until
from tests.support.leftovers import left_behind, marked, new_mark

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]


@dataclass
class Demo:
    """A running demo."""

    process: subprocess.Popen[str]
    mark: dict[str, str]
    temp: Path

    def wait_for(self, text: str) -> None:
        """Read its output up to a line that holds the text."""
        for line in self.process.stdout:
            if text in line:
                return
        pytest.fail(f"the demo ended before it said {text!r}:\n{self.process.stderr.read()}")

    def end(self) -> tuple[int, str, str]:
        """Exit status, the output that was not read yet, and what went to standard error."""
        out, err = self.process.communicate()
        return self.process.returncode, out, err

    def part(self, *words: str) -> int:
        """The process id of a part whose command line holds the words."""
        [found] = [one for one in marked(self.mark) if set(words) <= set(one.cmdline())]
        return found.pid


@pytest.fixture
def start_demo(tmp_path) -> Iterator:
    temp = tmp_path / "temp"
    temp.mkdir()
    demos = []

    def start(**environment: str) -> Demo:
        mark = new_mark()
        kept = {name: value for name, value in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"}
        ports = {"DEMO_AIRFLOW_PORT": str(free_port()), "DEMO_KAFKA_PORT": str(free_port())}
        process = subprocess.Popen(
            [sys.executable, "-m", "devtools.demo"],
            cwd=ROOT,
            env={**kept, **ports, **mark, "TMPDIR": str(temp), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        demos.append(Demo(process, mark, temp))
        return demos[-1]

    yield start
    for demo in demos:
        with demo.process:
            demo.process.kill()
        wait_until("all processes of the demo to be gone", lambda demo=demo: not marked(demo.mark), timeout=30)


def test_the_demo_prints_the_agents_answer_and_leaves_nothing(start_demo):
    demo = start_demo()
    status, out, err = demo.end()
    assert (status, err) == (0, ""), out
    assert "broker: the embedded broker (Tansu" in out
    for state in ("extract: success", "agent: success", "report: success"):
        assert state in out
    answer = out.partition("as the task report returned it:")[2]
    for word in ("AAPL", "volatility", "make dev"):
        assert word in answer
    assert left_behind(demo.mark, demo.temp) == []


@pytest.mark.parametrize("variable", ["DEMO_AIRFLOW_PORT", "DEMO_KAFKA_PORT"])
def test_a_port_in_use_is_named(start_demo, variable):
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        demo = start_demo(**{variable: str(port)})
        status, _, err = demo.end()
    assert status == 1
    assert f"port {port}" in err
    assert f"{variable}={port + 1}" in err
    assert len(err.splitlines()) <= 2
    assert left_behind(demo.mark, demo.temp) == []


def test_a_broker_that_is_not_there_is_named(start_demo):
    servers = f"127.0.0.1:{free_port()}"
    demo = start_demo(KAFKA_BOOTSTRAP_SERVERS=servers)
    status, out, err = demo.end()
    assert status == 1
    assert f"broker: the broker at {servers} (KAFKA_BOOTSTRAP_SERVERS)" in out
    assert "Connection refused" in err
    assert left_behind(demo.mark, demo.temp) == []


@pytest.mark.parametrize(
    ("name", "words"), [("worker", ("langgraph_worker", "run")), ("embedded broker", ("broker", "--listener-url"))]
)
def test_a_dead_child_is_named(start_demo, name, words):
    demo = start_demo()
    demo.wait_for("worker: ready")
    os.kill(demo.part(*words), signal.SIGKILL)
    status, _, err = demo.end()
    assert status == 1
    assert f"the {name} died (killed by SIGKILL)" in err
    assert left_behind(demo.mark, demo.temp) == []


@pytest.mark.parametrize(
    ("number", "moment"), [(signal.SIGINT, "worker: starting"), (signal.SIGTERM, "Airflow: starting")]
)
def test_a_signal_stops_everything(start_demo, number, moment):
    demo = start_demo()
    demo.wait_for(moment)
    demo.process.send_signal(number)
    status, _, err = demo.end()
    assert status == 128 + number
    assert err == f"demo: stopped by {number.name}; all that it had started is gone\n"
    assert left_behind(demo.mark, demo.temp) == []
