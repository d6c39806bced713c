"""The real parts that tests share: one Kafka broker, PostgreSQL, Airflow and worker a run, each only if a test asks.

In a run by several processes (:mod:`tests.support.parallel`) each of them has its own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

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
from devtools.kafka import choose, real_kafka_required  # noqa: E402
from devtools.postgres import PostgresServer, VectorPostgres, choose_postgres, postgres_required  # noqa: E402
from devtools.worker import Worker  # noqa: E402
from tests.support.hostile_defaults import set_defaults  # noqa: E402
from tests.support.kafka import KafkaTopics  # noqa: E402
from tests.support.parallel import ByFile, put_longest_first  # noqa: E402
from tests.support.planted_secrets import hunt, judge, plant  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
SYSTEM = Path(__file__).parent / "system"

_BROKER = pytest.StashKey[Broker]()
_POSTGRES = pytest.StashKey[PostgresServer]()
_NO_POSTGRES = pytest.StashKey[str]()
_VECTORS = pytest.StashKey[PostgresServer]()
_NO_VECTORS = pytest.StashKey[str]()
_SERVERS = pytest.StashKey[list[str]]()
"""What was started, in words."""


def pytest_configure(config: pytest.Config) -> None:
    """Nothing is started yet. What is, inherits the planted secrets."""
    config.stash[_SERVERS] = []
    plant()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give a test marked ``system`` its 300 s, unless it names a limit of its own."""
    for item in items:
        if item.get_closest_marker("system") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(300))
    if hasattr(config, "workerinput"):
        put_longest_first(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test fails whose output shows a planted secret."""
    report = yield
    judge(report)
    return report


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Of several processes, each gets whole files."""
    return ByFile(config, log)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the broker and PostgreSQL if a test needs them: here, since it may take longer than a test may."""
    if session.config.option.collectonly:
        return
    asked = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    try:
        if "broker" in asked:
            _start_broker(session.config)
        if asked & {"postgres_server", "airflow"} or any(_on(item, "postgres") for item in session.items):
            _start_postgres(session.config, choose_postgres, _POSTGRES, _NO_POSTGRES)
        if "vector_server" in asked or any(_on(item, "vectors") for item in session.items):
            _start_postgres(session.config, VectorPostgres, _VECTORS, _NO_VECTORS)
    except DevtoolsError as error:
        session.shouldstop = str(error)  # of several processes, the first one hears this
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)


def _on(item: pytest.Item, kind: str) -> bool:
    """Whether a parameter asks for this kind of server, as in the contract suites."""
    callspec = getattr(item, "callspec", None)
    return callspec is not None and kind in callspec.params.values()


def _start_broker(config: pytest.Config) -> None:
    broker = choose()
    config.add_cleanup(broker.close)
    broker.start()
    config.stash[_BROKER] = broker
    _announce(config, f"Kafka: {broker.description}")


def _start_postgres(
    config: pytest.Config,
    make: Callable[[], PostgresServer],
    key: pytest.StashKey[PostgresServer],
    reason: pytest.StashKey[str],
) -> None:
    """:param reason: gets why there is none; in CI that is an error instead."""
    try:
        server = make()
    except MissingToolError as error:
        if postgres_required():
            raise
        config.stash[reason] = str(error)
        return
    config.add_cleanup(server.close)
    server.open()
    config.stash[key] = server
    _announce(config, f"PostgreSQL: {server.description}")


def _announce(config: pytest.Config, server: str) -> None:
    config.stash[_SERVERS].append(server)
    config.get_terminal_writer().line(server)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """As one of several processes: tell the first one what was started."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["servers"] = session.config.stash[_SERVERS]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """As the first of several processes: hear it. One that crashed has no output."""
    node.config.stash[_SERVERS] += getattr(node, "workeroutput", {}).get("servers", [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say it again where it is seen: at the end."""
    for server in sorted(config.stash[_SERVERS]):
        terminalreporter.write_line(server)


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


@pytest.fixture(scope="session")
def vector_server(request: pytest.FixtureRequest) -> PostgresServer:
    """A PostgreSQL of this run whose databases may have pgvector, ready."""
    if _NO_VECTORS in request.config.stash:
        pytest.skip(request.config.stash[_NO_VECTORS])
    return request.config.stash[_VECTORS]


@pytest.fixture
def vector_url(vector_server: PostgresServer) -> Iterator[str]:
    """URL of a database of this test alone on that server, without the extension, with hostile defaults."""
    url = vector_server.create_database()
    set_defaults(url)
    yield url
    vector_server.drop_database(url)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """URL of a database of this test alone, empty, with hostile defaults."""
    url = postgres_server.create_database()
    set_defaults(url)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def kafka(broker: Broker) -> Iterator[KafkaTopics]:
    """Topics of this test alone: a fleet, all created, and what it creates itself."""
    prefix = f"t{uuid.uuid4().hex[:10]}"
    topics = KafkaTopics(broker, prefix)
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
def system_topics(broker: Broker) -> Iterator[KafkaTopics]:
    """The topics that the session's ``airflow`` and ``worker`` share."""
    prefix = f"system{uuid.uuid4().hex[:8]}"
    topics = KafkaTopics(broker, prefix)
    topics.create_fleet()
    yield topics
    topics.close()


@pytest.fixture(scope="session")
def system_fleet(system_topics: KafkaTopics) -> str:
    """The name of the fleet that has them."""
    return system_topics.prefix


@pytest.fixture(scope="session")
def airflow(request: pytest.FixtureRequest, broker: Broker, system_fleet: str) -> Iterator[AirflowStack]:
    """A real Airflow with the DAGs of tests/system/dags and example_dags. Only for tests marked ``system``.

    It has two triggerers, if there is a PostgreSQL: on SQLite one. Whoever stops one brings it back.
    """
    server = request.config.stash.get(_POSTGRES, None)
    database = server.create_database("airflow") if server else None
    with AirflowStack(
        [SYSTEM / "dags", ROOT / "example_dags"],
        kafka=broker.client,
        fleet=system_fleet,
        triggerers=2 if server else 1,
        database=database,
        env={"AIRFLOW__CORE__PARALLELISM": "6"} if server else {},
    ) as stack:
        yield stack
        hunt(stack.home, {})
    if server and database:
        server.drop_database(database)


@pytest.fixture(scope="session")
def worker(broker: Broker, system_fleet: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker with the graphs of tests/system/graphs. Only for tests marked ``system``."""
    graphs = SYSTEM / "graphs" / "langgraph.json"
    env = {"LANGGRAPH_WORKER_UNKNOWN_GRAPH_GRACE_SECONDS": "1", "LANGGRAPH_WORKER_CONCURRENCY": "256"}
    folder = tmp_path_factory.mktemp("worker")
    with Worker(broker, graphs, folder, fleet=system_fleet, env=env) as worker:
        yield worker
    hunt(folder, worker.environment)
