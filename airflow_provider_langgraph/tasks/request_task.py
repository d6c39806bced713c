"""What the tasks share that publish a request of their own, and then wait for its reply."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_langgraph.airflow_compat.native_rendering import name_as_text
from airflow_provider_langgraph.requests.build import request_id
from airflow_provider_langgraph.requests.cancel import Canceller
from airflow_provider_langgraph.requests.client import CALL_SECONDS
from airflow_provider_langgraph.requests.output_schema import OutputSchema
from airflow_provider_langgraph.requests.publish import publish_request
from airflow_provider_langgraph.requests.slot_time import defer_after_seconds
from airflow_provider_langgraph.requests.topics import check_fleet, topics_of
from airflow_provider_langgraph.tasks.reply_task import ReplyTask

if TYPE_CHECKING:
    from uuid import UUID

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_langgraph.hooks.kafka import KafkaHook
    from airflow_provider_langgraph.requests.handle import RequestHandle
    from workflow_events.models import WorkflowEvent


class RequestTask(ReplyTask):
    """A task that asks a fleet. A class that mixes it in says what it asks.

    :cvar name_fields: the template fields whose values are names, which stay text in every DAG.
    """

    name_fields: Sequence[str] = ()

    def _init_fleet(self, kafka_config_id: str, fleet: str | dict[str, str] | None) -> None:
        """Keep, and check, the arguments that say which fleet is asked."""
        self.kafka_config_id = kafka_config_id
        check_fleet(fleet)
        self.fleet = fleet

    def _event(self, context: Context) -> WorkflowEvent:
        """The request."""
        raise NotImplementedError

    def _publish(self, context: Context) -> RequestHandle:
        """Publish the request. What cannot be waited for as its author says is not asked for."""
        defer_after_seconds(self.defer_after)
        OutputSchema.of(self.output_schema)
        return publish_request(self._connect(), self._event(context), self._kill, self._canceller, self.log)

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Context, *arguments: Any, **named: Any
    ) -> None:
        """Airflow renders all fields by this, a mapped task's too. A name stays text in every DAG."""
        templates = {name: getattr(self, name) for name in self.name_fields}
        super()._do_render_template_fields(parent, template_fields, context, *arguments, **named)
        if parent is self:
            for name, template in templates.items():
                setattr(self, name, name_as_text(self, template, getattr(self, name), context))

    def _request_id(self, context: Context) -> UUID:
        return request_id(context)

    def _events_topic(self) -> str:
        return topics_of(self.fleet).events

    def _connect(self, timeout: float = CALL_SECONDS) -> KafkaHook:
        from airflow_provider_langgraph.hooks.kafka import KafkaHook

        return KafkaHook(self.kafka_config_id, fleet=self.fleet, timeout=timeout)

    @property
    def _canceller(self) -> Canceller:
        return Canceller(self._connect, self.log)
