"""The exceptions that a task can fail with, and the remedy of each."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

REMEDIES: dict[str, str] = {
    "LangGraphError": "The base of all below: catch it to catch them all.",
    "SettingsError": "Correct the argument or the option that the text names, then clear the task.",
    "GraphCheckError": "Correct what the text names: the graph, the assistant or the field. If the workers are wrong, "
    "deploy them, then clear the task.",
    "KafkaError": "Mend what the text names: the servers, the network, a topic that is missing.",
    "KafkaSettingsError": "Correct the setting of the Kafka connection that the text names.",
    "PublishError": "Mend what the text names. To publish again is safe.",
    "MessageRefusedError": "Pass a reference to large data, or raise the limit that the text names.",
    "WaitError": "Mend what the text names. The agent may have answered: a retry finds its result.",
    "RunError": "The base of the following ones.",
    "RunFailed": "Read the node and the exception in the text. Running again continues behind what has succeeded.",
    "RunRejected": "Do what the text ends with; the word in parentheses is a row of {faults}.",
    "RunTimedOut": "The text says what held the request up, as far as it is known. Allow it a longer `timeout`, or run "
    "more workers.",
    "RunCancelled": "Nothing, if the cancel was wanted: the text names who or what cancelled it.",
    "RunInterrupted": "Answer the question that the text names: {answer}.",
    "AgentsFailed": "The text has the reason of each agent, and so has the XCom `errors`: mend those. A retry pays for "
    "no agent that has succeeded.",
    "AnswerTimeoutError": "Answer the question, which is still open, by a `LangGraphResumeOperator`, or clear the "
    "task; allow a longer `answer_timeout`.",
    "ResultRefusedError": "Leave the value that the text names out of the graph's output, or set "
    "`result_format='text'`.",
    "OutputSchemaError": "Correct the field that the text names: in what the graph returns, or in the `output_schema`.",
}
"""What to do, by the class that a person reads. Each ``FinalRun…`` has the row of its ``Run…``."""


@dataclass(frozen=True, slots=True)
class ExceptionRow:
    """One row of the table.

    :param retried: whether Airflow's retries are used.
    :param meaning: the first sentence of its docstring.
    """

    name: str
    retried: str
    meaning: str
    remedy: str


def exception_classes() -> Iterator[type[Exception]]:
    """Every exception of the provider, without the twins."""
    from airflow_provider_langgraph import exceptions

    for value in vars(exceptions).values():
        if isinstance(value, type) and issubclass(value, exceptions.LangGraphError) and not _is_twin(value):
            yield value


def exception_rows() -> Iterator[ExceptionRow]:
    """The table's rows, in the order of the module."""
    from airflow_provider_langgraph import exceptions

    for kind in exception_classes():
        has_twin = hasattr(exceptions, f"Final{kind.__name__}")
        retried = f"yes; not as ``Final{kind.__name__}``" if has_twin else "yes" if kind.retriable else "no"  # type: ignore[attr-defined]
        meaning = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
        yield ExceptionRow(kind.__name__, retried, meaning, REMEDIES[kind.__name__])


def _is_twin(kind: type) -> bool:
    return kind.__name__.startswith("Final")
