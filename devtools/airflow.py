"""A real Airflow for a while: API server, scheduler, DAG processor and triggerers, each a child of this process.

``airflow standalone`` is not used: on SIGTERM it leaves processes behind, and it does not bring a triggerer back.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import psutil

from devtools.airflow_api import DONE, AirflowApi, TaskInstance
from devtools.errors import AirflowError
from devtools.processes import Child, free_port, stop_all, wait_until

MIGRATE_SECONDS = 120.0
HEALTHY_SECONDS = 180.0
_LOCK_SECONDS = 60
"""How long a process of Airflow waits for SQLite's lock. Python's default is 5: the scheduler ends after that."""

_LAST_WORDS = {
    "api-server": "Finished server process",
    "scheduler": "Exited execute loop",
    "triggerer": "Exited trigger loop",
}
"""What each writes a few tenths of a second after SIGTERM. Then its interpreter clears its memory, for seconds."""

_T = TypeVar("_T")


class AirflowStack:
    """Airflow with a temporary home, configured by environment variables alone. Entering starts it and waits.

    :param dags: folders with DAG files. Each becomes a DAG bundle; their names must differ.
    :param kafka: librdkafka settings, for the extra of the connection ``kafka_default``, which is an environment
        variable; None for no such connection.
    :param fleet: the name of the fleet whose topics operators use when they name none.
    :param python: the interpreter of the Airflow to run.
    :param port: the port of the API server; None for a free one.
    :param triggerers: their number. More than one needs ``database``: SQLite cannot serve them.
    :param database: URL of an empty PostgreSQL database for the metadata; None for SQLite in the home.
    :param serves_logs: whether the page of a task that runs or waits can ask for its log; without it, that page says
        "Could not read served logs". Takes two more processes. Not with several triggerers.
    :param env: further environment variables, over all others.
    :ivar triggerers: the names of the triggerers in :attr:`children`.
    """

    def __init__(
        self,
        dags: Sequence[Path],
        *,
        kafka: Mapping[str, Any] | None,
        fleet: str = "",
        python: Path | None = None,
        port: int | None = None,
        triggerers: int = 1,
        database: str | None = None,
        serves_logs: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="devtools-airflow-", ignore_cleanup_errors=True)
        self.home = Path(self._folder.name)
        self._python = python or Path(sys.executable)
        self.triggerers = tuple(f"triggerer-{number}" for number in range(1, triggerers + 1))
        port = port or free_port()
        self.api = AirflowApi(f"http://127.0.0.1:{port}")
        self._log_options = () if serves_logs else ("--skip-serve-logs",)
        self._environment = {
            **_callers_environment(self._python),
            **_settings(self.home, port, dags, database),
            **(_log_ports() if serves_logs else {}),
            "AIRFLOW__LANGGRAPH__FLEET": fleet,
            **({"AIRFLOW_CONN_KAFKA_DEFAULT": kafka_connection(kafka)} if kafka is not None else {}),
            **(env or {}),
        }
        self._migration: Child | None = None
        self.children: dict[str, Child] = {}

    @property
    def url(self) -> str:
        """The URL of its UI."""
        return self.api.url

    def prepare(self) -> None:
        """Begin to make the metadata database, without waiting for it: it takes 10 s."""
        self._migration = self._child("airflow db migrate", "db", "migrate", ends=True)

    def wait_prepared(self) -> None:
        """Wait until the metadata database is there; :meth:`run_command` needs no more."""
        if self._migration is None:
            self.prepare()
        assert self._migration is not None
        if self._migration.wait(MIGRATE_SECONDS) != 0:
            raise AirflowError(f"airflow db migrate failed. The last lines of its output:\n{self._migration.tail()}")

    def run_command(self, name: str, *arguments: str, env: Mapping[str, str] | None = None) -> Child:
        """Start ``airflow`` with other arguments, for a command that ends by itself. Returns at once.

        :param name: of its log and in messages.
        :param env: further environment variables.
        """
        return self._child(name, *arguments, ends=True, env=env)

    def run_script(self, name: str, script: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Child:
        """Start a Python program with this Airflow's settings, which ends by itself. Returns at once.

        :param name: of its log and in messages.
        :param env: further environment variables.
        """
        return self._python_child(name, [str(script), *arguments], ends=True, env=env)

    def start(self) -> None:
        """Start all components and wait until each says that it is healthy.

        :raises ChildDiedError: a component ended; the text names it, with the last lines of its log.
        :raises NotReadyError: it is not healthy after three minutes.
        """
        self.wait_prepared()
        self.launch("api-server")
        self.launch("scheduler", *self._log_options)
        self.launch("dag-processor")
        for name in self.triggerers:
            self.launch_triggerer(name)
        wait_until("Airflow to be healthy", self._is_healthy, timeout=HEALTHY_SECONDS, show=self.children.values())

    def launch(self, command: str, *options: str, name: str | None = None) -> Child:
        """Start one component, also again after a stop or a kill. Returns at once.

        :param name: its key in ``children``; ``command`` unless there are several of them.
        """
        name = name or command
        self.children[name] = self._child(f"airflow {name}", command, *options)
        return self.children[name]

    def launch_triggerer(self, name: str) -> Child:
        """Start one of :attr:`triggerers`, also again. Returns at once."""
        return self.launch("triggerer", *self._log_options, name=name)

    def kill(self, name: str) -> None:
        """SIGKILL a component and all that it started. :meth:`launch` starts it again."""
        self.children.pop(name).kill()

    def terminate(self, name: str) -> None:
        """Stop a component in an orderly way, as a deployment does. :meth:`launch` starts it again."""
        self.children.pop(name).stop()

    def freeze(self, name: str) -> None:
        """SIGSTOP a component and all that it started, as on a machine that is suspended."""
        for process in self._family(name):
            process.suspend()

    def thaw(self, name: str) -> None:
        """SIGCONT what :meth:`freeze` stopped."""
        for process in self._family(name):
            process.resume()

    def wait_for_triggerer(self, name: str, *, other_than: int | None = None) -> int:
        """Wait until a triggerer works, and return its id in Airflow.

        :param other_than: the id that it had before it was killed: Airflow takes that for alive for half a minute.
        """

        def found() -> int | None:
            present = self.api.triggerers().get(name)
            return None if present == other_than else present

        return self._wait(f"the {name} to work", found, timeout=60)

    def run_dag(self, dag_id: str, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> str:
        """Wait until the DAG is parsed, unpause it, start a run, and return the run's id."""
        self._wait(f"Airflow to parse the DAG {dag_id}", lambda: self.api.has_dag(dag_id), timeout=60)
        self.api.unpause(dag_id)
        return self.api.trigger(dag_id, conf, run_id)

    def wait_for_run(self, dag_id: str, run_id: str, *, timeout: float = 120.0) -> str:
        """Wait until a DAG run has ended, and return its state: "success" or "failed"."""

        def ended() -> str | None:
            state = self.api.run_state(dag_id, run_id)
            return state if state in DONE else None

        return self._wait(f"the DAG run {run_id} to end", ended, timeout=timeout)

    def wait_for_count(
        self, dag_id: str, run_id: str, task_id: str, state: str, count: int, *, timeout: float = 120.0
    ) -> None:
        """Wait until so many of a mapped task's instances are in the state.

        :raises AirflowError: an instance failed, and another state is waited for; raised at once.
        """

        def reached() -> bool:
            if state != "failed" and self.api.count(dag_id, run_id, task_id, "failed"):
                raise AirflowError(f"a task failed that was to be {state}. {self._failure(dag_id, run_id, task_id)}")
            return self.api.count(dag_id, run_id, task_id, state) == count

        self._wait(f"{count} instances of task {task_id} of {dag_id} to be {state}", reached, timeout=timeout)

    def wait_for_task(
        self, dag_id: str, run_id: str, task_id: str, *states: str, map_index: int = -1, timeout: float = 60.0
    ) -> TaskInstance:
        """Wait until a task instance is in one of the states, and return it."""

        def reached() -> TaskInstance | None:
            task = self.api.task_instance(dag_id, run_id, task_id, map_index)
            return task if task.state in states else None

        return self._wait(f"task {task_id} of {dag_id} to be {' or '.join(states)}", reached, timeout=timeout)

    def stop(self) -> None:
        """Stop all components at once: TERM, up to 10 s, KILL. Their database then says that they still run."""
        children = [*self.children.values(), *([self._migration] if self._migration else [])]
        stop_all(children, at_last_words=True)
        self.children.clear()

    def close(self) -> None:
        """Stop, and remove the home folder."""
        try:
            self.stop()
        finally:
            self.api.close()
            self._folder.cleanup()

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

    def _wait(self, what: str, check: Callable[[], _T | None], *, timeout: float) -> _T:
        return wait_until(what, check, timeout=timeout, show=self.children.values(), interval=0.25)

    def _child(self, name: str, *arguments: str, ends: bool = False, env: Mapping[str, str] | None = None) -> Child:
        words = _LAST_WORDS.get(arguments[0], "")
        return self._python_child(name, ["-m", "airflow", *arguments], ends=ends, env=env, last_words=words)

    def _python_child(
        self, name: str, arguments: Sequence[str], *, ends: bool, env: Mapping[str, str] | None, last_words: str = ""
    ) -> Child:
        command = [str(self._python), *arguments]
        log = self.home / f"{name.replace(' ', '-')}.log"
        # Airflow stores the user's name with each component: by it the API's triggerers are identified.
        environment = {**self._environment, "LOGNAME": name.removeprefix("airflow "), **(env or {})}
        return Child(name, command, log=log, env=environment, cwd=self.home, ends=ends, last_words=last_words)

    def _family(self, name: str) -> list[psutil.Process]:
        parent = psutil.Process(self.children[name].pid)
        return [parent, *parent.children(recursive=True)]

    def _failure(self, dag_id: str, run_id: str, task_id: str) -> str:
        """The log of one failed instance."""
        failed = [
            task
            for task in self.api.task_instances(dag_id, run_id)
            if (task.task_id, task.state) == (task_id, "failed")
        ]
        logs = [self.api.logs(dag_id, run_id, task_id, one.try_number, one.map_index) for one in failed[:1]]
        return f"{len(failed)} have failed; the log of the first:\n{''.join(logs)}"

    def _is_healthy(self) -> bool:
        health = self.api.health()
        return health.keys() >= _COMPONENTS and all(status == "healthy" for status in health.values())


def kafka_connection(kafka: Mapping[str, Any]) -> str:
    """An Airflow connection as the JSON of an ``AIRFLOW_CONN_…`` variable.

    :param kafka: librdkafka settings.
    """
    return json.dumps({"conn_type": "kafka", "extra": dict(kafka)})


_COMPONENTS = {"metadatabase", "scheduler", "triggerer", "dag_processor"}


def _callers_environment(python: Path) -> dict[str, str]:
    """The caller's environment without the variables of another Airflow."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "_AIRFLOW_"))}
    local = ",".join(filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), "127.0.0.1,localhost")))
    path = f"{python.parent}{os.pathsep}{kept.get('PATH', '')}"
    return {**kept, "PATH": path, "NO_PROXY": local, "no_proxy": local}


def _settings(home: Path, port: int, dags: Sequence[Path], database: str | None) -> dict[str, str]:
    bundle = "airflow.dag_processing.bundles.local.LocalDagBundle"
    bundles = [
        {"name": f"local-{folder.name}", "classpath": bundle, "kwargs": {"path": str(folder.resolve())}}
        for folder in dags
    ]
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        **_database_settings(home, database),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        # No one edits DAG files here: to read all of them again and again would cost a processor.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": str(24 * 3600),
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        # A supervisor may notice so late that its task has ended; a task is not resumed before.
        "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def _log_ports() -> dict[str, str]:
    return {
        f"AIRFLOW__LOGGING__{part}_LOG_SERVER_PORT": str(free_port())
        for part in ("WORKER", "TRIGGER")  # the scheduler serves those of its tasks
    }


def _database_settings(home: Path, database: str | None) -> dict[str, str]:
    if database is None:
        return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout={_LOCK_SECONDS}"}
    # By default Airflow takes asyncpg for its asynchronous part; psycopg serves both.
    url = database.replace("postgresql://", "postgresql+psycopg://", 1)
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": url}
