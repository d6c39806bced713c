"""The real parts that tests share: one Kafka broker, PostgreSQL, Airflow and worker a run, each only if a test asks."""

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
from devtools.errors import DevtoolsError, MissingToolError  # noqa: E402
from devtools.kafka import choose, prefixed_fleet, real_kafka_required  # noqa: E402
from devtools.postgres import PostgresServer, choose_postgres, postgres_required  # noqa: E402
from devtools.worker import Worker  # noqa: E402
from tests.support.kafka import KafkaTopics  # noqa: E402
from workflow_events import Fleet  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SYSTEM = Path(__file__).parent / "system"

_BROKER = pytest.StashKey[Broker]()
_POSTGRES = pytest.StashKey[PostgresServer]()
_NO_POSTGRES = pytest.StashKey[str]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a test marked ``system`` its 300 s, unless it names a limit of its own."""
    for item in items:
        if item.get_closest_marker("system") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(300))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the broker and PostgreSQL if a test needs them: here, since it may take longer than a test may."""
    if session.config.option.collectonly:
        return
    asked = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    try:
        if "broker" in asked:
            _start_broker(session.config)
        if "postgres_server" in asked or any(_on_postgres(item) for item in session.items):
            _start_postgres(session.config)
    except DevtoolsError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)


def _on_postgres(item: pytest.Item) -> bool:
    """Whether a parameter asks for it, as in the contract suites."""
    callspec = getattr(item, "callspec", None)
    return callspec is not None and "postgres" in callspec.params.values()


def _start_broker(config: pytest.Config) -> None:
    broker = choose()
    config.add_cleanup(broker.close)
    broker.start()
    config.stash[_BROKER] = broker
    config.get_terminal_writer().line(f"Kafka: {broker.description}")


def _start_postgres(config: pytest.Config) -> None:
    try:
        server = choose_postgres()
    except MissingToolError as error:
        if postgres_required():
            raise
        config.stash[_NO_POSTGRES] = str(error)
        return
    config.add_cleanup(server.close)
    server.open()
    config.stash[_POSTGRES] = server
    config.get_terminal_writer().line(f"PostgreSQL: {server.description}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say it again where it is seen: at the end."""
    if _BROKER in config.stash:
        terminalreporter.write_line(f"Kafka: {config.stash[_BROKER].description}")
    if _POSTGRES in config.stash:
        terminalreporter.write_line(f"PostgreSQL: {config.stash[_POSTGRES].description}")


def pytest_unconfigure() -> None:
    """Remove the Airflow home."""
    shutil.rmtree(_AIRFLOW_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest) -> Broker:
    """The Kafka broker of this run, ready."""
    return request.config.stash[_BROKER]


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> PostgresServer:
    """The PostgreSQL of this run, ready. Tests share it: stop or kill one of your own."""
    if _NO_POSTGRES in request.config.stash:
        pytest.skip(request.config.stash[_NO_POSTGRES])
    return request.config.stash[_POSTGRES]


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """URL of a database of this test alone, empty."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


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
