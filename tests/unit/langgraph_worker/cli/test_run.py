from __future__ import annotations

import json

import pytest

from langgraph_worker.cli.run import run

CHECKED = ("langgraph_worker.cli.run", "WARNING")
AGENT = """
from typing import TypedDict
from langgraph.graph import START, StateGraph
graph = StateGraph(TypedDict("State", {"a": int})).add_node("n", lambda state: state).add_edge(START, "n")
"""


@pytest.mark.usefixtures("own_imports")
def test_a_start_logs_what_of_the_project_is_missing_or_not_served(tmp_path, monkeypatch, caplog):
    (tmp_path / "agent.py").write_text(AGENT)
    manifest = {"graphs": {"agent": "./agent.py:graph"}, "env": ".env", "auth": {"path": "./a.py:a"}}
    (tmp_path / "langgraph.json").write_text(json.dumps(manifest))
    served = []
    monkeypatch.setattr("langgraph_worker.runtime.process.serve", lambda settings, graphs: served.append(graphs) or 0)
    monkeypatch.setattr("langgraph_worker.cli.service_log.set_up_logging", lambda level, log_format: None)
    assert run({"langgraph_json": str(tmp_path / "langgraph.json")}) == 0
    assert served[0].names == {"agent"}
    warnings = [record.getMessage() for record in caplog.records if (record.name, record.levelname) == CHECKED]
    assert len(warnings) == 2
    assert "key 'auth' is not served: " in warnings[0]
    assert "key 'env': there is no file " in warnings[1]
