"""The operator that cancels an agent's run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from airflow.providers.common.compat.sdk import BaseOperator
from pydantic import ValidationError

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.arguments import connection_id, describe_problem, short_repr
from airflow_provider_langgraph.requests.given_handle import check_handle, handle_in
from airflow_provider_langgraph.requests.json_input import as_name
from airflow_provider_langgraph.requests.link_urls import LinkFields
from airflow_provider_langgraph.requests.topics import check_fleet, is_still_to_come
from airflow_provider_langgraph.tasks.linked_task import LinkedTask
from airflow_provider_langgraph.waiting.handle_client import client_of
from workflow_events.log_words import short_id, with_article
from workflow_events.plain_text import one_line

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_langgraph.hooks.kafka import KafkaHook

__all__ = ["LangGraphCancelOperator"]

_ONE_OF_BOTH = "give either handle or correlation_id, and not both: each of them names the request to cancel"
_REMEDY = (
    "Pass the handle of the request as handle=ask.output, or its correlation_id as "
    "correlation_id=\"{{ ti.xcom_pull('ask')['correlation_id'] }}\""
)
_SHOWN_CHARACTERS = 60
_UNSAID = {"kafka_config_id": "kafka_default", "fleet": None}


class LangGraphCancelOperator(LinkedTask, BaseOperator):
    """Cancels an agent's run, whether it is still to come, waits or works. The request's waiters get ``RunCancelled``.

    The task succeeds when Kafka has acknowledged the cancel; the agent ends a moment later. A run that has ended stays
    as it is, and an id that no worker knows is no error: a cancel may come before its request.

    :param handle: (templated) the handle of the request: what
        :class:`~airflow_provider_langgraph.operators.langgraph.LangGraphTriggerOperator` returns with
        ``wait_for_completion=False``, as a mapping or as its text. It names the connection and the fleet.
    :param correlation_id: (templated) instead of the handle, the request's correlation id.
    :param reason: (templated) why, for the people who read the result; None: it names this task.
    :param kafka_config_id: the Airflow connection, of type ``kafka``; only with ``correlation_id``.
    :param fleet: (templated) the fleet of the request, as for the other operator; only with ``correlation_id``.
    :returns: the correlation id, as text.
    :raises SettingsError: ``handle`` is no handle, ``correlation_id`` is no UUID; not retried.
    :raises KafkaError: Kafka cannot be used, or has not acknowledged the cancel; retried.
    """

    template_fields: Sequence[str] = ("handle", "correlation_id", "reason", "fleet")
    template_fields_renderers = {"handle": "json"}  # noqa: RUF012 - as Airflow declares it
    ui_color = "#f2d6d6"

    def __init__(
        self,
        *,
        handle: Any = None,
        correlation_id: str | UUID | None = None,
        reason: str | None = None,
        kafka_config_id: str = "kafka_default",
        fleet: str | dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (handle is None) == (correlation_id is None):
            raise SettingsError(_ONE_OF_BOTH)
        check_fleet(fleet)
        if handle is not None:
            check_handle(handle)
            _require_defaults(kwargs.get("default_args") or {}, kafka_config_id=kafka_config_id, fleet=fleet)
        if reason is not None and not is_still_to_come(reason):
            _reason(reason)
        self.handle = handle
        self.correlation_id = correlation_id
        self.names_a_handle = handle is not None
        self.reason = reason
        self.kafka_config_id = connection_id(kafka_config_id)
        self.fleet = fleet

    def execute(self, context: Context) -> str:
        """Send the cancel, and wait until it is durable."""
        request, client = self._request_and_client()
        ti = context["ti"]
        reason = _reason(self.reason) or f"cancelled by task {ti.task_id} of DAG {ti.dag_id}"
        control = client.topics.control
        client.require_topics(control)
        try:
            client.cancel(request, control, reason=reason)
        except ValidationError as error:
            raise SettingsError(describe_problem(error, {})) from None
        self.log.info("Cancelled: %s (request %s on %s)", one_line(reason), short_id(request), control)
        self._show_links(context)
        return str(request)

    def _link_fields(self, context: Context) -> LinkFields:
        if self.names_a_handle:
            return LinkFields.of_handle(context["ti"], handle_in(self.handle))
        return LinkFields.of(context["ti"], _uuid(self.correlation_id))

    def _request_and_client(self) -> tuple[UUID, KafkaHook]:
        if self.names_a_handle:
            handle = handle_in(self.handle)
            return handle.correlation_id, client_of(handle)
        from airflow_provider_langgraph.hooks.kafka import KafkaHook

        return _uuid(self.correlation_id), KafkaHook(self.kafka_config_id, fleet=self.fleet)


def _require_defaults(defaults: Mapping[str, Any], **given: Any) -> None:
    """Check that nothing is given that the handle says. What comes from a DAG's ``default_args`` is for other tasks."""
    for name, value in given.items():
        if value not in (_UNSAID[name], defaults.get(name)):
            raise SettingsError(f"{name}: the handle names the connection and the topics. Leave it out")


def _reason(value: Any) -> str:
    """The text of a rendered ``reason``; empty: none is given.

    :raises SettingsError: it is no text.
    """
    text = as_name(value)
    if text is not None and not isinstance(text, str):
        raise SettingsError(f"reason must be a text, not {short_repr(value)}")
    return text or ""


def _uuid(value: Any) -> UUID:
    """The UUID that a rendered argument holds.

    :raises SettingsError: it is none.
    """
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except (ValueError, TypeError, AttributeError):
        raise SettingsError(f"correlation_id: {_found(value)}. {_REMEDY}") from None


def _found(value: Any) -> str:
    """What was given instead of a UUID."""
    if value is None:
        return "it is None: the task that it comes from has returned nothing of that name"
    if not isinstance(value, str):
        return f"{with_article(type(value).__qualname__)} is no UUID"
    return f"{one_line(value if len(value) <= _SHOWN_CHARACTERS else f'{value[:_SHOWN_CHARACTERS]}…')!r} is no UUID"
