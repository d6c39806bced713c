"""The real parts that tests share: one Kafka broker, one Airflow and one worker a run, each only if a test asks."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything imports Airflow: it reads these once, and would make files in the home directory.
_AIRFLOW_HOME = tempfile.mkdtemp(prefix="devtools-airflow-home-")
os.environ.update(
    AIRFLOW_HOME=_AIRFLOW_HOME,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=f"{_AIRFLOW_HOME}/dags",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_AIRFLOW_HOME}/airflow.db",
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
)

from devtools.airflow import AirflowStack  # noqa: E402 - see above
from devtools.broker import Broker  # noqa: E402
from devtools.errors import DevtoolsError  # noqa: E402
from devtools.kafka import choose, prefixed_fleet, real_kafka_required  # noqa: E402
from devtools.worker import Worker  # noqa: E402
from tests.support.kafka import KafkaTopics  # noqa: E402
from workflow_events import Fleet  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SYSTEM = Path(__file__).parent / "system"

_BROKER = pytest.StashKey[Broker]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a test marked ``system`` its 300 s, unless it names a limit of its own."""
    for item in items:
        if item.get_closest_marker("system") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(300))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the broker if a test needs it: here, since the first time takes longer than a test may."""
    wanted = any("broker" in getattr(item, "fixturenames", ()) for item in session.items)
    if not wanted or session.config.option.collectonly:
        return
    terminal = session.config.get_terminal_writer()
    try:
        broker = choose()
        session.config.add_cleanup(broker.close)
        broker.start()
    except DevtoolsError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
    session.config.stash[_BROKER] = broker
    terminal.line(f"Kafka: {broker.description}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say it again where it is seen: at the end."""
    if _BROKER in config.stash:
        terminalreporter.write_line(f"Kafka: {config.stash[_BROKER].description}")


def pytest_unconfigure() -> None:
    """Remove the Airflow home."""
    shutil.rmtree(_AIRFLOW_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest) -> Broker:
    """The Kafka broker of this run, ready."""
    return request.config.stash[_BROKER]


@pytest.fixture
def kafka(broker: Broker) -> Iterator[KafkaTopics]:
    """Topics of this test alone: a fleet, all created, and what it creates itself."""
    prefix = f"t{uuid.uuid4().hex[:10]}"
    topics = KafkaTopics(broker, prefix, prefixed_fleet(prefix))
    topics.create_fleet()
    yield topics
    topics.close()


@pytest.fixture(scope="session")
def sasl(broker: Broker) -> dict[str, str]:
    """librdkafka settings of a user of the broker's second listener, which asks for a password."""
    if broker.sasl is None:
        reason = f"{broker.description} has no listener that asks for a password"
        (pytest.fail if real_kafka_required() else pytest.skip)(reason)
    return broker.sasl


@pytest.fixture(scope="session")
def system_fleet(broker: Broker) -> Iterator[Fleet]:
    """The topics that the session's ``airflow`` and ``worker`` share."""
    prefix = f"system{uuid.uuid4().hex[:8]}"
    topics = KafkaTopics(broker, prefix, prefixed_fleet(prefix))
    topics.create_fleet()
    yield topics.fleet
    topics.close()


@pytest.fixture(scope="session")
def airflow(broker: Broker, system_fleet: Fleet) -> Iterator[AirflowStack]:
    """A real Airflow with the DAGs of tests/system/dags and example_dags. Only for tests marked ``system``."""
    with AirflowStack([SYSTEM / "dags", ROOT / "example_dags"], kafka=broker.client, fleet=system_fleet) as stack:
        yield stack


@pytest.fixture(scope="session")
def worker(broker: Broker, system_fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker with the graphs of tests/system/graphs. Only for tests marked ``system``."""
    graphs = SYSTEM / "graphs" / "langgraph.json"
    env = {"LANGGRAPH_WORKER_UNKNOWN_GRAPH_GRACE_SECONDS": "1"}
    with Worker(broker, graphs, tmp_path_factory.mktemp("worker"), fleet=system_fleet, env=env) as worker:
        yield worker
