"""An agent's answer through a real Airflow and a Kafka broker, then clean up: ``make demo``.

With ``--keep`` (``make dev``) everything runs on until Ctrl-C. From the environment: KAFKA_BOOTSTRAP_SERVERS names a
broker to use instead of the embedded one (KAFKA_CONFIG: a JSON object with its further librdkafka settings);
DEMO_AIRFLOW_PORT (8080) and DEMO_KAFKA_PORT (19092) move ports; OLLAMA_HOST and OLLAMA_MODEL give the agents a model.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devtools.airflow import AirflowStack
from devtools.airflow_api import DONE
from devtools.broker import Broker, ExternalBroker
from devtools.embedded_broker import EmbeddedBroker
from devtools.errors import AirflowError, DevtoolsError
from devtools.processes import require_port, stop_all, wait_until
from devtools.terminal import Progress, Stopped, signals_raise
from devtools.worker import Worker

REPOSITORY = Path(__file__).resolve().parent.parent
EXAMPLE_DAGS = REPOSITORY / "example_dags"
GRAPHS = REPOSITORY / "example_graphs" / "langgraph.json"
DAG_ID = "example_langgraph"
RUN_SECONDS = 240.0

_LIVELY = {
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
}
"""Airflow reads DAG files again soon, for a person who edits them."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that the demo starts."""

    broker: Broker
    worker: Worker
    airflow: AirflowStack


def main(arguments: list[str] | None = None) -> int:
    """Run the demo.

    :returns: 0, or 1 for a failure. After a signal: 128 plus its number, but 0 after a Ctrl-C that ends ``--keep``.
    """
    parser = argparse.ArgumentParser(prog="python -m devtools.demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    keep: bool = parser.parse_args(arguments).keep
    kept = False
    try:
        with signals_raise(), Progress() as progress, _parts(progress, keep=keep) as parts:
            start(parts, progress)
            run_dag(parts.airflow, progress)
            if keep:
                kept = True
                stay(parts, progress)
    except Stopped as stop:
        _complain(f"stopped by {stop.number.name}; all that it had started is gone")
        return 0 if kept and stop.number.name == "SIGINT" else 128 + stop.number
    except DevtoolsError as error:
        _complain(str(error))
        return 1
    print("\nTo see it in Airflow's UI: make dev\nTo build a DAG and a graph of your own: docs/tutorial.md")
    return 0


def start(parts: Parts, progress: Progress) -> None:
    """Start all parts. Airflow's database is made while the broker and the worker start: each takes 10 s."""
    progress.say(f"broker: {parts.broker.description}")
    progress.begin("Airflow: making its database (temporary, SQLite)", until="the broker to acknowledge a record")
    parts.airflow.prepare()
    parts.broker.start()
    progress.begin("worker: starting, with example_graphs/langgraph.json", until="the worker to be ready")
    parts.worker.launch()
    parts.worker.wait_ready()
    progress.say("worker: ready")
    progress.begin(
        "Airflow: starting API server, scheduler, DAG processor and triggerer", until="Airflow to be healthy"
    )
    parts.airflow.start()
    progress.say(f"Airflow: healthy at {parts.airflow.url}")


def run_dag(airflow: AirflowStack, progress: Progress) -> None:
    """Run the example and print its result.

    :raises AirflowError: when a task fails, with the error from its log.
    """
    progress.begin(f"DAG {DAG_ID}: waiting for Airflow to parse it", until="Airflow to parse the DAG")
    run_id = airflow.run_dag(DAG_ID)
    progress.begin(f"DAG {DAG_ID}: triggered", until="the DAG run to end")
    seen: dict[str, str | None] = {}

    def ended() -> str | None:
        for task in airflow.api.task_instances(DAG_ID, run_id):
            if task.state and seen.get(task.task_id) != task.state:
                progress.say(f"  task {task.task_id}: {task.state}")
                seen[task.task_id] = task.state
        state = airflow.api.run_state(DAG_ID, run_id)
        return state if state in DONE else None

    if wait_until("the DAG run to end", ended, timeout=RUN_SECONDS, interval=0.3) != "success":
        raise AirflowError(_failure(airflow, run_id))
    progress.say("the agent's answer, as the task report returned it:")
    print(f"\n{_readable(airflow.api.xcom(DAG_ID, run_id, 'report'))}", flush=True)


def stay(parts: Parts, progress: Progress) -> None:
    """Keep running until a signal comes.

    :raises ChildDiedError: a part ended.
    """
    print(
        f"\nAirflow's UI: {parts.airflow.url} (every user is an administrator; the DAG is {DAG_ID})\n"
        f"Kafka: {parts.broker.bootstrap_servers}\nDAG files: {EXAMPLE_DAGS}, read again every few seconds\n"
        f"Logs: the worker's is {parts.worker.log}, Airflow's are in {parts.airflow.home}\n"
        "Build a DAG and a graph of your own: docs/tutorial.md\nStop everything: Ctrl-C",
        flush=True,
    )
    progress.until(None)
    wait_until("a signal", lambda: None, timeout=math.inf, interval=0.5)


@contextmanager
def _parts(progress: Progress, *, keep: bool) -> Iterator[Parts]:
    """The parts, not started yet. At the end no process and no file of them is left."""
    with ExitStack() as cleanup:
        broker = _broker()
        fleet = "demo" if broker.kind == "external" else ""  # other workers may use an external broker too
        cleanup.callback(broker.close)
        folder = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="devtools-worker-"))
        worker = Worker(broker, GRAPHS, Path(folder), fleet=fleet)
        cleanup.callback(worker.stop)
        port = _port("DEMO_AIRFLOW_PORT", 8080, "Airflow's API and UI")
        airflow = AirflowStack(
            [EXAMPLE_DAGS],
            kafka=broker.client,
            fleet=fleet,
            port=port,
            serves_logs=keep,
            env=_LIVELY if keep else None,
        )
        cleanup.callback(airflow.close)
        parts = Parts(broker, worker, airflow)
        cleanup.callback(_stop_at_once, parts)
        cleanup.callback(progress.begin, "stopping everything", until="everything to stop")
        yield parts


def _stop_at_once(parts: Parts) -> None:
    """Stop all parts at the same time: one after the other would take longer."""
    worker = [parts.worker.child] if parts.worker.child else []
    stop_all([*worker, *parts.airflow.children.values()], at_last_words=True)


def _broker() -> Broker:
    external = ExternalBroker.from_environment(os.environ)
    return external or EmbeddedBroker(_port("DEMO_KAFKA_PORT", 19092, "the embedded Kafka broker"))


def _port(variable: str, default: int, purpose: str) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise DevtoolsError(f"{variable}={text!r} is not a port number between 1 and 65535")
    return require_port(int(text), purpose, variable)


def _failure(airflow: AirflowStack, run_id: str) -> str:
    """The task that failed, and the errors in its log."""
    failed = [task for task in airflow.api.task_instances(DAG_ID, run_id) if task.state == "failed"]
    if not failed:
        return "the DAG run failed, but no task did; see the UI with: make dev"
    task = failed[0]
    log = airflow.api.logs(DAG_ID, run_id, task.task_id, task.try_number).splitlines()
    log = [line for line in log if "::group::" not in line and "::endgroup::" not in line]
    first = next((number for number, line in enumerate(log) if " ERROR " in line), max(0, len(log) - 15))
    lines = "\n".join(f"    {line}" for line in log[first : first + 30])
    return f"task {task.task_id} failed. From its log:\n{lines}"


def _readable(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _complain(text: str) -> None:
    print(f"demo: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
