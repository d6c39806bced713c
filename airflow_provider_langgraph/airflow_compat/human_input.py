"""Airflow's required actions: a form that a person fills in while a task waits without a slot.

Read from the sources of Airflow 3.1.8, 3.2.2 and 3.3.2. From 3.3 on a task waits in the state ``awaiting_input``, which
needs no triggerer; before, a trigger of the standard provider polls for the answer. The form of a task is written once:
a second one, of a later question or a later try, clears the answer and keeps everything else of the first. Airflow
replies with the form that it keeps, which ``upsert_hitl_detail`` of the task SDK throws away.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

from airflow_provider_langgraph.airflow_compat.versions import TaskAwaitingInput

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

_LEAST_WAIT = timedelta(seconds=1)

waits_without_trigger = TaskAwaitingInput is not None
"""Whether this Airflow keeps what a waiting task has to remember, also in ``airflow dags test``."""


def write_form(
    ti_id: UUID,
    *,
    subject: str,
    body: str,
    options: Sequence[str],
    params: Mapping[str, Mapping[str, Any]],
    users: Sequence[Mapping[str, str]],
) -> dict[str, Any]:
    """Ask for a person's answer, and return the form that Airflow shows: this one, or an earlier one of the task.

    An answer that Airflow has for the task is cleared.

    :param params: by field name its ``value``, ``description`` and ``schema``.
    :param users: who may answer, as ``id`` and ``name``; empty for everyone who may edit the DAG run.
    :returns: ``params`` and ``assigned_users``; empty if Airflow does not say what it shows.
    """
    from airflow.sdk.execution_time import task_runner
    from airflow.sdk.execution_time.comms import CreateHITLDetailPayload

    message = CreateHITLDetailPayload.model_validate(
        {
            "ti_id": str(ti_id),
            "subject": subject,
            "body": body,
            "options": list(options),
            "params": _as_airflow_has_them(params),
            "assigned_users": [dict(user) for user in users],
        }
    )
    kept = task_runner.SUPERVISOR_COMMS.send(msg=message)
    if kept is None or not hasattr(kept, "params"):
        return {}
    return {
        "params": {name: _value(one) for name, one in (kept.params or {}).items()},
        "assigned_users": [user.id for user in getattr(kept, "assigned_users", None) or ()],
    }


def wait_for_person(
    operator: BaseOperator,
    *,
    ti_id: UUID,
    options: Sequence[str],
    params: Mapping[str, Mapping[str, Any]],
    until: datetime,
    method_name: str,
    kwargs: dict[str, Any],
) -> NoReturn:
    """Leave the slot until a person has answered the form, or the time is over; then ``method_name`` is called.

    It gets ``kwargs`` and ``event``: ``chosen_options``, ``params_input`` and ``responded_by_user``; or ``error`` and
    ``error_type``, which is ``timeout`` if nobody has answered.
    """
    left = max(until - datetime.now(UTC), _LEAST_WAIT)
    if TaskAwaitingInput is not None:
        raise TaskAwaitingInput(method_name=method_name, kwargs=kwargs, timeout=left)
    from airflow.providers.standard.triggers.hitl import HITLTrigger

    operator.defer(
        trigger=HITLTrigger(
            ti_id=ti_id,
            options=list(options),
            params=_as_airflow_has_them(params),
            timeout_datetime=datetime.now(UTC) + left,
        ),
        method_name=method_name,
        kwargs=kwargs,
    )


def _as_airflow_has_them(params: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A copy, since Airflow's trigger takes parts out of it. Before 3.1.3 a field is its value alone."""
    if _airflow_version() < (3, 1, 3):
        return {name: one["value"] for name, one in params.items()}
    return copy.deepcopy({name: dict(one) for name, one in params.items()})


def _value(param: Any) -> Any:
    return param["value"] if isinstance(param, Mapping) and "value" in param else param


def _airflow_version() -> tuple[int, ...]:
    from airflow import __version__
    from packaging.version import Version

    return Version(__version__).release
