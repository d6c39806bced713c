"""A real Apache Kafka without Docker: its artifacts from Maven Central, run by the machine's own Java."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from devtools.broker import ChildBroker
from devtools.errors import BrokerError, MissingToolError
from devtools.processes import Child, free_port

VERSION = "4.3.1"
CACHE = Path(__file__).resolve().parent.parent / ".cache"

SASL_USER = "agent"
SASL_PASSWORD = "correct-horse"

_POM = f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>devtools</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.3</version>
    </dependency>
  </dependencies>
</project>
"""
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
"""


class ApacheKafka(ChildBroker):
    """Apache Kafka in KRaft mode, one node. It does not create topics by itself.

    It keeps its data and its ports over a stop or a kill. A second listener asks for SASL (SCRAM-SHA-512) and knows one
    user.

    :param port: None for a free one.
    :param users: the passwords of further users of the second listener.
    :param settings: further broker settings; they override the usual ones.
    :raises MissingToolError: Kafka cannot run on this machine, see :func:`ensure_jars`.
    """

    kind = "apache"

    def __init__(
        self,
        port: int | None = None,
        *,
        users: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._jars = ensure_jars()
        super().__init__(port or free_port())
        self._sasl_port, self._controller_port = free_port(), free_port()
        self._users = {SASL_USER: SASL_PASSWORD} | dict(users or {})
        self._settings = dict(settings or {})

    @property
    def description(self) -> str:
        return f"Apache Kafka {VERSION} (Java, from Maven) on {self.bootstrap_servers}"

    @property
    def sasl(self) -> dict[str, str]:
        return {
            "bootstrap.servers": f"127.0.0.1:{self._sasl_port}",
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": SASL_USER,
            "sasl.password": SASL_PASSWORD,
        }

    def launch(self) -> Child:
        if not self._properties.exists():
            self._format()
        return Child("Kafka broker", [*self._java("-Xmx512m"), "kafka.Kafka", str(self._properties)], log=self.log)

    @property
    def _properties(self) -> Path:
        return self.directory / "server.properties"

    def _java(self, *options: str) -> list[str]:
        return ["java", *options, "-Dorg.apache.logging.log4j.level=INFO", "-cp", f"{self._jars}/*"]

    def _format(self) -> None:
        usual = _PROPERTIES.format(
            port=self.port,
            sasl=self._sasl_port,
            controller=self._controller_port,
            data=self.directory / "data",
        )
        further = "".join(f"{name}={value}\n" for name, value in self._settings.items())
        self._properties.write_text(usual + further)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        command = [*self._java("-XX:TieredStopAtLevel=1"), "kafka.tools.StorageTool", "format", "--standalone"]
        command += [f"--cluster-id={cluster}", "--config", str(self._properties)]
        for name, password in self._users.items():
            command += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
        done = _run(command, timeout=60)
        if done.returncode != 0:
            self._properties.unlink()
            raise BrokerError(f"Kafka cannot format its data folder: {(done.stderr or done.stdout).strip()}")


def ensure_jars() -> Path:
    """The folder of Kafka's jars (43 MB), downloaded from Maven Central if they are not cached yet.

    :raises MissingToolError: there is no Java 17 or no Maven, or Maven cannot get the jars.
    """
    _require_java()
    jars = CACHE / f"kafka-{VERSION}"
    if jars.is_dir():
        return jars
    if shutil.which("mvn") is None:
        raise MissingToolError("Maven (mvn) is not installed")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        pom = Path(scratch) / "pom.xml"
        pom.write_text(_POM)
        copied = Path(scratch) / "jars"
        command = ["mvn", "-B", "-q", "-f", str(pom), _COPY, "-DincludeScope=runtime", f"-DoutputDirectory={copied}"]
        done = _run(command, timeout=300)
        if done.returncode != 0:
            reason = next((line for line in done.stdout.splitlines() if "ERROR" in line), done.stderr)
            raise MissingToolError(f"Maven cannot get Kafka's jars: {reason.strip()[:300]}")
        try:
            copied.rename(jars)
        except OSError:  # another process was faster
            if not jars.is_dir():
                raise
    return jars


def _require_java() -> None:
    if shutil.which("java") is None:
        raise MissingToolError("Java is not installed")
    done = _run(["java", "-version"], timeout=30)
    version = re.search(r'version "(\d+)', done.stderr)
    if done.returncode != 0 or version is None or int(version[1]) < 17:
        raise MissingToolError(f"Java 17 or newer is needed; java -version says: {done.stderr.strip()[:100]}")


def _run(command: Sequence[str], *, timeout: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise MissingToolError(f"{command[0]} did not end within {timeout:.0f} s: {' '.join(command)}") from error
