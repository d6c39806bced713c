"""A graph's own logging set-up silences its worker in no way, and works itself."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]

SILENCERS = {
    "dict_config": """
        logging.config.dictConfig({
            "version": 1,
            "handlers": {"own": {"class": "logging.StreamHandler", "formatter": "own"}},
            "formatters": {"own": {"format": "OWN %(message)s"}},
            "root": {"level": "INFO", "handlers": ["own"]},
        })
    """,
    "basic_config": """
        logging.basicConfig(level="INFO", format="OWN %(message)s", force=True)
    """,
    "handlers_removed": """
        logging.getLogger().handlers.clear()
        logging.basicConfig(level="INFO", format="OWN %(message)s")
    """,
    "each_logger": """
        logging.basicConfig(level="INFO", format="OWN %(message)s", force=True)
        for name in logging.root.manager.loggerDict:
            one = logging.getLogger(name)
            one.setLevel("CRITICAL")
            one.disabled, one.propagate = True, False
            one.handlers.clear()
            one.addFilter(lambda record: False)
        for handler in logging.getLogger().handlers:
            handler.setLevel("INFO")
        logging.getLogger("agent").disabled = False
        logging.getLogger("agent").setLevel("INFO")
    """,
    "shut_down": """
        logging.basicConfig(level="INFO", format="OWN %(message)s", force=True)
        logging.shutdown()
    """,
    "disable": """
        logging.basicConfig(level="INFO", format="OWN %(message)s", force=True)
        logging.getLogger("agent").warning("step")
        logging.disable(logging.CRITICAL)
    """,
}

WORKER = """
import logging
import logging.config
from langgraph_worker.telemetry.logs import set_up_logging

set_up_logging("INFO")
worker = logging.getLogger("langgraph_worker.execution.active_run")
logging.getLogger("langgraph_worker.not_imported_yet")
worker.debug("hidden")
worker.info("one")
{set_up}
logging.getLogger("agent").info("step")
worker.info("two")
logging.getLogger("langgraph_worker.publishing.outbox").info("three")
worker.debug("hidden")
"""


@pytest.mark.parametrize("how", SILENCERS)
def test_the_worker_is_heard_once_and_so_is_the_graph(how: str) -> None:
    lines = log_of("-c", WORKER.format(set_up=textwrap.dedent(SILENCERS[how])))
    assert [line.rpartition("] ")[2] for line in lines if "INFO    [langgraph_worker." in line] == [
        "one",
        "two",
        "three",
    ]
    assert lines.count("OWN step") == 1
    assert len(lines) == 4


PROJECT = """
import logging
import logging.config
from langgraph.graph import START, StateGraph

{set_up}

def node(state):
    logging.getLogger("agent").info("step")
    logging.config.dictConfig({{"version": 1}})
    raise ValueError("no paper")

graph = StateGraph(dict).add_node(node).add_edge(START, "node").compile()
"""


def test_a_run_of_a_project_with_its_own_logging_is_reported(tmp_path: Path) -> None:
    (tmp_path / "agent.py").write_text(PROJECT.format(set_up=textwrap.dedent(SILENCERS["dict_config"])))
    (tmp_path / "langgraph.json").write_text('{"dependencies": ["."], "graphs": {"g": "./agent.py:graph"}}')
    lines = log_of("-m", "langgraph_worker", "try", "g", folder=tmp_path)
    (end,) = [line for line in lines if "ValueError: no paper" in line and "finished" in line]
    assert " ERROR   [finished] " in end
    assert lines.count("OWN step") == 1


def test_a_projects_log_shipper_gets_the_workers_lines_too() -> None:
    shipper = """
        class Shipper(logging.Handler):
            def emit(self, record):
                print("shipped", record.getMessage())

        logging.getLogger().addHandler(Shipper())
    """
    assert "shipped two" in log_of("-c", WORKER.format(set_up=textwrap.dedent(shipper)))


def log_of(*arguments: str, folder: Path = ROOT) -> list[str]:
    """What a Python process writes."""
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        check=False,
    )
    return ended.stdout.splitlines()
