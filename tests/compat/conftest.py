"""One Airflow after another: the newest of each release that the provider supports, and the lowest versions of all.

COMPAT names them ("3.1 lowest", "all", or any version such as "3.4.0"), as ``make test-compat`` does. Without it the
two older releases run, and with them what takes a short time only: packaging, and a kill.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from devtools.airflow import AirflowStack
from devtools.broker import Broker
from devtools.compat import RELEASES, CompatError, Release, build_wheel, environment, locked, release_of
from devtools.postgres import PostgresServer
from devtools.processes import wait_until
from tests.support.kafka import KafkaTopics
from tests.system.witnesses import Folder, Wire, request_of

HERE = Path(__file__).resolve().parent
NAMES = os.environ.get("COMPAT", "").split()

BOTH = ("left", "right")

collect_ignore = [] if NAMES else ["test_waiting.py", "test_cancel.py", "test_asking.py", "test_examples.py"]

# Above what a triggerer's supervisor is silent for when it is asked its first question; below the default of 30 s.
_STALL_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Pair:
    """A run of the DAG ``pair``.

    :param requests: what each of its tasks asks.
    """

    run_id: str
    requests: dict[str, str]


def _chosen() -> list[Release]:
    names = [release.name for release in RELEASES] if NAMES == ["all"] else NAMES or ["3.1", "3.2"]
    try:
        return [release_of(name) for name in names]
    except CompatError as error:
        raise pytest.UsageError(f"COMPAT={' '.join(names)!r}: {error}") from error


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as its users get it."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="package", params=_chosen(), ids=lambda release: release.name)
def release(request: pytest.FixtureRequest) -> Release:
    """The Airflow that is under test."""
    chosen: Release = request.param
    return chosen


@pytest.fixture(scope="package")
def python(release: Release, wheel: Path) -> Path:
    """The interpreter that has this Airflow and the wheel."""
    return environment(locked(release), wheel)


@pytest.fixture(scope="package")
def airflow(python: Path, broker: Broker, system_fleet: str, postgres_server: PostgresServer) -> Iterator[AirflowStack]:
    """This Airflow, with two triggerers, and with a connection in its database. Whoever stops one brings it back."""
    database = postgres_server.create_database("airflow")
    with AirflowStack(
        [HERE / "more_dags", HERE.parent / "system" / "dags", HERE.parents[1] / "example_dags"],
        kafka=broker.client,
        fleet=system_fleet,
        python=python,
        triggerers=2,
        database=database,
        env={
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": str(_STALL_SECONDS),
        },
    ) as stack:
        stack.api.add_connection("kafka_stored", "kafka", broker.client)
        yield stack
    postgres_server.drop_database(database)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    """What the agents of one test read and write; none outlives the test."""
    folder = Folder(tmp_path)
    yield folder
    folder.open_gate()


@pytest.fixture
def wire(system_topics: KafkaTopics) -> Wire:
    """What was said of requests."""
    return Wire(system_topics)


@pytest.fixture
def run(airflow: AirflowStack, folder: Folder) -> Callable[[str], str]:
    """Starts a run of a DAG whose agents read and write in ``folder``."""

    def start(dag_id: str) -> str:
        return airflow.run_dag(dag_id, {"folder": str(folder.path), "name": dag_id})

    return start


@pytest.fixture
def wait_for_trigger(airflow: AirflowStack) -> Callable[[str, str, str], str]:
    """Waits until a triggerer is at work on a task; the task's request.

    Before that, what is done to the task reaches nothing of ours.
    """

    def wait_for_trigger(dag_id: str, run_id: str, task_id: str) -> str:
        request = request_of(airflow.wait_for_task(dag_id, run_id, task_id, "deferred"))
        line = f"at the latest (request {request[:8]} on "

        def begun() -> bool:
            return line in airflow.api.logs(dag_id, run_id, task_id)

        wait_until(f"the trigger of {task_id} to be at work", begun, timeout=60, interval=0.5)
        return request

    return wait_for_trigger


@pytest.fixture
def pair(run: Callable[[str], str], wait_for_trigger: Callable[[str, str, str], str], folder: Folder) -> Pair:
    """A run of two tasks that wait, each in a triggerer, while their agents are at work."""
    run_id = run("pair")
    requests = {name: wait_for_trigger("pair", run_id, name) for name in BOTH}
    for name in BOTH:
        folder.wait_for(name, "begun")
    return Pair(run_id, requests)
