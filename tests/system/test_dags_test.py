"""``airflow dags test``, with which authors try a DAG: no scheduler, no triggerer, whatever holds the connection."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from devtools.airflow import HEALTHY_SECONDS, AirflowStack, kafka_connection
from devtools.broker import Broker
from devtools.processes import Child, wait_until
from tests.conftest import ROOT, SYSTEM
from tests.system import try_dags
from tests.system.witnesses import Folder, Wire

pytestmark = [pytest.mark.system, pytest.mark.integration]

ASKING = "example_langgraph_approval"
EXAMPLES = (
    "example_langgraph",
    "example_langgraph_agent",
    ASKING,
    "example_langgraph_cancel_and_retry",
    "example_langgraph_conversation",
    "example_langgraph_decorator",
    "example_langgraph_mapped",
    "example_langgraph_multi_agent",
    "example_langgraph_options",
    "example_langgraph_result_sensor",
    "example_langgraph_resume",
)
UNATTENDED = tuple(name for name in EXAMPLES if name != ASKING)
"""Those that need no person."""

SECONDS = 120.0
ALL_SECONDS = 400.0
"""For all of the examples together."""

TryDag = Callable[..., Child]
Ended = Mapping[str, tuple[int, str]]
"""Exit status and output of each DAG."""


@pytest.fixture(scope="module")
def home(system_fleet: str) -> Iterator[AirflowStack]:
    """An Airflow of which nothing runs but the command of a test, without a Kafka connection."""
    dags = [ROOT / "example_dags", SYSTEM / "dags"]
    stack = AirflowStack(dags, kafka=None, fleet=system_fleet)
    try:
        stack.wait_prepared()
        yield stack
    finally:
        stack.close()


@pytest.fixture
def try_dag(home: AirflowStack, worker, request: pytest.FixtureRequest) -> Iterator[TryDag]:
    """Starts ``airflow dags test`` for a DAG."""
    started: list[Child] = []

    def start(dag_id: str, conf: dict[str, Any] | None = None, **env: str) -> Child:
        options = ["--conf", json.dumps(conf)] if conf else []
        name = f"{request.node.name}-{len(started)}".replace("/", "-")
        started.append(home.run_command(name, "dags", "test", dag_id, *options, env=env))
        return started[-1]

    yield start
    for child in started:
        child.kill()


@pytest.fixture(scope="module")
def variable(broker: Broker) -> dict[str, str]:
    return {"AIRFLOW_CONN_KAFKA_DEFAULT": kafka_connection(broker.client)}


@pytest.fixture(scope="module")
def stored(home: AirflowStack, broker: Broker) -> Iterator[None]:
    """The connection is in Airflow's database."""
    extra = json.dumps(dict(broker.client))
    options = ("--conn-type", "kafka", "--conn-extra", extra)
    require_end(home.run_command("add", "connections", "add", "kafka_default", *options), 0)
    yield
    require_end(home.run_command("delete", "connections", "delete", "kafka_default"), 0)


@pytest.fixture(scope="module")
def without_connection(home: AirflowStack) -> Ended:
    return _all_of(home, "without-connection", EXAMPLES)


@pytest.fixture(scope="module")
def with_variable(home: AirflowStack, worker: object, variable: dict[str, str]) -> Ended:
    return _all_of(home, "with-variable", UNATTENDED, **variable)


@pytest.fixture(scope="module")
def with_stored(home: AirflowStack, worker: object, stored: None) -> Ended:
    return _all_of(home, "with-stored", UNATTENDED)


def _all_of(home: AirflowStack, name: str, dag_ids: Sequence[str], **env: str) -> Ended:
    child = home.run_script(name, Path(try_dags.__file__), *dag_ids, env=env)
    try:
        return try_dags.outputs(require_end(child, 0, ALL_SECONDS))
    finally:
        child.kill()


@pytest.mark.timeout(ALL_SECONDS)
@pytest.mark.parametrize("dag_id", EXAMPLES)
def test_without_a_connection_the_error_names_it_and_how_to_make_one(without_connection, dag_id):
    status, output = without_connection[dag_id]
    assert status == 1, output
    assert "KafkaError: Airflow connection 'kafka_default' is not defined. " in output
    assert "airflow connections add kafka_default --conn-type kafka" in output
    assert "AIRFLOW_CONN_KAFKA_DEFAULT" in output


@pytest.mark.timeout(ALL_SECONDS)
@pytest.mark.parametrize("dag_id", UNATTENDED)
def test_with_a_connection_from_the_environment(with_variable, dag_id):
    _assert_waited(with_variable[dag_id])


@pytest.mark.timeout(600)
def test_a_person_answers_through_an_api_server_of_the_same_database(home, try_dag, variable):
    home.launch("api-server")
    try:
        wait_until("the API server to answer", lambda: home.api.health(), timeout=HEALTHY_SECONDS)
        child = try_dag(ASKING, **variable)
        wait_until(
            "the question",
            lambda: "Waiting for Human-in-the-loop input for tasks: ['trade']" in child.output(),
            timeout=SECONDS,
        )
        [form] = home.api.required_actions(ASKING)
        run_id = form["task_instance"]["dag_run_id"]
        home.api.answer(ASKING, run_id, "trade", "Edit", code=form["params"]["code"]["value"], answer='{"pieces": 5}')
        question = wait_until("the next question", lambda: _next_code(child), timeout=SECONDS)
        wait_until("its form", lambda: home.api.required_actions(ASKING), timeout=SECONDS)
        home.api.answer(ASKING, run_id, "trade", "Approve", code=question)
        output = require_end(child, 0)
        assert "Answered by " in output
        assert home.api.xcom(ASKING, run_id, "trade")["outcome"] == "bought 5 ACME"
    finally:
        home.terminate("api-server")


def _next_code(child: Child) -> str | None:
    """The code of the question whose form is an old one."""
    found = re.search(r"The present question is the one above: its code is (\S+)\.", child.output())
    return found[1] if found else None


def test_what_no_task_waits_for_is_cancelled(try_dag, variable):
    output = require_end(try_dag("example_langgraph_result_sensor", {"still_wanted": False}, **variable), 0)
    assert "Cancelled: the answer is not wanted any more (request " in output
    assert "This is `airflow dags test`" not in output  # the sensor is skipped


@pytest.mark.timeout(ALL_SECONDS)
@pytest.mark.parametrize("dag_id", UNATTENDED)
def test_with_a_connection_from_airflows_database(with_stored, dag_id):
    _assert_waited(with_stored[dag_id])


@pytest.mark.parametrize(
    ("dag_id", "says"), [("slow_to_defer", "Asked graph"), ("quick_to_defer", "Waiting for the answer")]
)
def test_ctrl_c_ends_the_agent_in_its_slot_and_in_its_trigger(try_dag, variable, system_topics, tmp_path, dag_id, says):
    folder = Folder(tmp_path)
    child = try_dag(dag_id, {"folder": str(tmp_path)}, **variable)
    wait_until(f"the log to say {says}", lambda: says in child.output(), timeout=SECONDS)
    folder.wait_for("agent", "begun")
    child.signal(signal.SIGINT)
    folder.wait_for("agent", "stopped")
    assert child.wait(SECONDS) != 0
    [request] = re.findall(r"Published request (\S+) to", child.output())
    assert Wire(system_topics).wait_for_answer(request) == ("cancelled", "cancelled")


def require_end(child: Child, code: int, seconds: float = SECONDS) -> str:
    """Wait for the end of a command; its output."""
    assert child.wait(seconds) == code, child.output()
    return child.output()


def _assert_waited(ended: tuple[int, str]) -> None:
    status, output = ended
    assert status == 0, output
    assert "This is `airflow dags test`" in output
