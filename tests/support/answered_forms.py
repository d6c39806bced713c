"""Airflow's required actions without Airflow: the form of a task is kept as Airflow 3.1 to 3.3 keep it."""

from __future__ import annotations

from typing import Any

from airflow.sdk.execution_time.comms import CreateHITLDetailPayload, HITLDetailRequestResult

ANN = {"id": "7", "name": "Ann"}


class KeptForms:
    """Stands for the task's supervisor. Only the first form of a task is kept; each later one clears the answer.

    :ivar written: all forms that tasks wrote.
    """

    def __init__(self, *, keeps_first: bool = True) -> None:
        self.written: list[CreateHITLDetailPayload] = []
        self.kept: CreateHITLDetailPayload | None = None
        self._keeps_first = keeps_first

    def send(self, msg: CreateHITLDetailPayload) -> HITLDetailRequestResult:
        self.written.append(msg)
        if self.kept is None or not self._keeps_first:
            self.kept = msg
        fields = self.kept.model_dump(exclude={"type"}, exclude_defaults=True)
        return HITLDetailRequestResult(**fields, type="HITLDetailRequestResult")

    def pressed(self, button: str, by: dict[str, str] | None = ANN, **fields: Any) -> dict[str, Any]:
        """What Airflow hands over when a person presses a button of the kept form, with its fields as they stand."""
        assert self.kept is not None
        assert button in self.kept.options
        stand = {name: one["value"] for name, one in (self.kept.params or {}).items()}
        return answered(button, by, **stand | fields)


def answered(button: str, by: dict[str, str] | None = ANN, **fields: Any) -> dict[str, Any]:
    """The event of an answered form."""
    return {"chosen_options": [button], "params_input": fields, "responded_by_user": by, "timedout": False}


TIMED_OUT = {"error": "The Human-in-the-loop response timeout has passed.", "error_type": "timeout"}
