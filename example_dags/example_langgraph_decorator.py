"""A function makes the input of a graph: names -> greet, once for each name -> report.

`greet` is a function with `@task.langgraph`. It returns what is sent to the graph `echo`; its task returns what the
graph answers. No worker slot is held while a worker runs it.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag, task

log = logging.getLogger(__name__)


# [START example_langgraph_decorator]
@dag(
    schedule=None,
    catchup=False,
    tags=["example", "langgraph"],
    doc_md=__doc__,
    params={"names": Param(["Ann", "Bob"], type="array", items={"type": "string"}, minItems=1)},
)
def example_langgraph_decorator() -> None:
    """Greet each of a few people."""

    @task
    def names(params: dict[str, Any] | None = None) -> list[str]:
        """Who is greeted."""
        return list((params or {})["names"])

    @task.langgraph(graph="echo", timeout=timedelta(minutes=5))
    def greet(name: str) -> dict[str, str]:
        """The graph's input. Called for each try, but not again when a deferred task resumes."""
        return {"task": f"say hello to {name}"}

    @task
    def report(answers: list[dict[str, str]]) -> list[str]:
        """The graph's results, one for each name."""
        texts = [answer["answer"] for answer in answers]
        log.info("The answers: %s", texts)
        return texts

    report(greet.expand(name=names()))


example_langgraph_decorator()
# [END example_langgraph_decorator]
