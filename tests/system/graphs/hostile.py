"""A graph whose output Airflow would obey, or could not keep. ``kind`` chooses; ``ledger`` in ``folder`` counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph

ANSWERS: dict[str, Any] = {
    "object": [
        {
            "__type": "airflow.sdk.definitions.connection.Connection",
            "__var": {"conn_id": "planted", "conn_type": "http", "host": "example.com"},
        }
    ],
    "nul": {"text": "a\0b"},
}


class State(TypedDict, total=False):
    folder: str
    kind: str
    answer: Any


def answer(state: State) -> State:
    with (Path(state["folder"]) / "ledger").open("a") as ledger:
        ledger.write(f"{state['kind']}\n")
    return {"answer": ANSWERS[state["kind"]]}


graph = StateGraph(State).add_node("answer", answer).add_edge(START, "answer").add_edge("answer", END)
