"""A Kafka broker, as the demo and the tests use it: what all kinds of brokers have in common."""

from __future__ import annotations

import json
import signal
import socket
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from devtools.errors import BrokerError, DevtoolsError
from devtools.processes import Child, stop_all, wait_until

READY_SECONDS = 60.0
_PROBE_TOPIC = "devtools-ready"
_QUIET = {"log_level": "0"}  # a broker that is still starting is no error
_FENCED = {KafkaError.INVALID_REPLICATION_FACTOR}
"""What Kafka answers to a new topic while it keeps its brokers fenced: those that have just started, or stood still."""
_FINAL = {KafkaError._AUTHENTICATION, KafkaError._RESOLVE, KafkaError._SSL}

Kind = Literal["external", "docker", "apache", "embedded"]


class Broker(ABC):
    """A Kafka broker, as a context manager: entering starts it and waits until it is ready, leaving removes all of it.

    Ready means: a topic was created, and a record in it was acknowledged to an idempotent producer. An open port is too
    early.
    """

    kind: ClassVar[Kind]

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers

    @property
    @abstractmethod
    def description(self) -> str:
        """One line for people: which broker, where."""

    @property
    def client(self) -> dict[str, str]:
        """Settings of librdkafka that every client of it needs."""
        return {"bootstrap.servers": self.bootstrap_servers}

    @property
    def consumer(self) -> dict[str, str]:
        """Further settings that suit consumers of it."""
        return {}

    @property
    def sasl(self) -> dict[str, str] | None:
        """Settings of librdkafka for its second listener, which asks for a password; None if it has none."""
        return None

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it is ready. After a stop or a kill it has the same port, and the data that it keeps.

        :raises DevtoolsError: it cannot be started, has died, or is not ready in time.
        """

    @abstractmethod
    def stop(self) -> None:
        """Stop it in an orderly way. Its port and its data stay reserved for :meth:`start`."""

    def kill(self) -> None:
        """Stop it as a power failure would."""
        raise DevtoolsError(f"cannot kill {self.description}: it was not started here")

    def close(self) -> None:
        """Stop it for good and remove its data."""
        self.stop()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class ChildBroker(Broker):
    """A broker that runs as a child process on this machine, with a folder of its own."""

    def __init__(self, port: int) -> None:
        super().__init__(f"127.0.0.1:{port}")
        self.port = port
        self._folder = tempfile.TemporaryDirectory(prefix="devtools-kafka-", ignore_cleanup_errors=True)
        self.child: Child | None = None

    @property
    def directory(self) -> Path:
        """The folder of its log and its data."""
        return Path(self._folder.name)

    @property
    def log(self) -> Path:
        """The file of its output; ``Child.tail`` shows the end of it."""
        return self.directory / "broker.log"

    @abstractmethod
    def launch(self) -> Child:
        """Start the process."""

    def start(self) -> None:
        self.child = self.launch()
        wait_until("the broker's port to open", self._port_is_open, timeout=READY_SECONDS, show=[self.child])
        require_ready(self)

    def stop(self) -> None:
        if self.child is not None:
            stop_all([self.child])

    def kill(self) -> None:
        if self.child is not None:
            self.child.kill()

    def close(self) -> None:
        try:
            self.stop()
        finally:
            self._folder.cleanup()

    def suspend(self) -> None:
        """Hold it still, as a machine that is suspended, until :meth:`resume`.

        :raises DevtoolsError: it does not run.
        """
        if self.child is None:
            raise DevtoolsError(f"cannot suspend {self.description}: it does not run")
        self.child.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after :meth:`suspend`, and wait until it is ready: whoever comes next finds a broker that answers.

        :raises BrokerError: it is not ready in time; the text has the end of its log.
        """
        if self.child is None:
            return
        self.child.signal(signal.SIGCONT)
        try:
            require_ready(self)
        except BrokerError as error:
            raise BrokerError(f"{error}. After it was suspended it wrote:\n{self.child.tail()}") from error

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Hold it still for the length of a block: see :meth:`suspend` and :meth:`resume`."""
        self.suspend()
        try:
            yield
        finally:
            self.resume()

    def _port_is_open(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class ExternalBroker(Broker):
    """A broker that runs already. It is used, never stopped.

    :param settings: further librdkafka settings, for SASL and TLS.
    """

    kind = "external"

    def __init__(self, bootstrap_servers: str, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(bootstrap_servers)
        self._settings = dict(settings or {})

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ExternalBroker | None:
        """The broker of KAFKA_BOOTSTRAP_SERVERS, with the settings of KAFKA_CONFIG; None if it is not set.

        :raises DevtoolsError: KAFKA_CONFIG is not a JSON object.
        """
        servers = environment.get("KAFKA_BOOTSTRAP_SERVERS")
        if not servers:
            return None
        try:
            settings = json.loads(environment.get("KAFKA_CONFIG") or "{}")
        except ValueError as error:
            raise DevtoolsError(f"KAFKA_CONFIG is not JSON: {error}") from error
        if not isinstance(settings, dict):
            raise DevtoolsError("KAFKA_CONFIG must be a JSON object of librdkafka settings")
        return cls(servers, settings)

    @property
    def description(self) -> str:
        return f"the broker at {self.bootstrap_servers} (KAFKA_BOOTSTRAP_SERVERS)"

    @property
    def client(self) -> dict[str, str]:
        return {**self._settings, "bootstrap.servers": self.bootstrap_servers}

    def start(self) -> None:
        require_ready(self, is_up=True)

    def stop(self) -> None:
        """Do nothing: the broker was not started here."""


def require_ready(broker: Broker, timeout: float = READY_SECONDS, *, is_up: bool = False) -> None:
    """Create a topic, produce a record to it, and wait for its acknowledgement. The topic is deleted again.

    :param is_up: whether a refused connection is final, because the broker runs already.
    :raises BrokerError: the text says what the broker, or the connection to it, refused.
    """
    final = _FINAL | {KafkaError._ALL_BROKERS_DOWN} if is_up else _FINAL
    errors: list[KafkaError] = []
    # A failed connection is reported to the callback only, not to a future or a delivery report.
    config: dict[str, Any] = {**_QUIET, **broker.client, "error_cb": errors.append}
    try:
        admin = AdminClient(config)
        _create_probe(admin, timeout, lambda: any(error.code() in final for error in errors), is_up)
        _produce_probe(config, timeout)
        admin.delete_topics([_PROBE_TOPIC])[_PROBE_TOPIC].result(timeout)
    except KafkaException as error:
        causes = [cause for cause in errors if cause.code() != KafkaError._ALL_BROKERS_DOWN]
        cause = causes[-1] if causes else error.args[0]
        raise BrokerError(f"{broker.description} is not usable: {cause.str()}") from error


def _create_probe(admin: AdminClient, timeout: float, hopeless: Callable[[], bool], is_up: bool) -> None:
    deadline = time.monotonic() + timeout
    while True:
        future = admin.create_topics([NewTopic(_PROBE_TOPIC, 1, -1)], request_timeout=timeout)[_PROBE_TOPIC]
        while not future.done():
            admin.poll(0.1)
            if hopeless() or time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        error = future.exception()
        code = error.args[0].code() if isinstance(error, KafkaException) else None
        if error is None or code == KafkaError.TOPIC_ALREADY_EXISTS:
            return
        if is_up or code not in _FENCED or time.monotonic() > deadline:
            raise error
        time.sleep(0.1)


def _produce_probe(config: Mapping[str, Any], timeout: float) -> None:
    reports: list[KafkaError | None] = []

    def report(error: KafkaError | None, _: Message) -> None:
        reports.append(error)

    producer = Producer({**config, "enable.idempotence": "true", "message.timeout.ms": str(int(timeout * 1000))})
    producer.produce(_PROBE_TOPIC, b"ready?", on_delivery=report)
    producer.flush(timeout + 1)
    if not reports or reports[0] is not None:
        raise KafkaException(reports[0] if reports else KafkaError(KafkaError._TIMED_OUT))
