"""What the tasks share that publish a request of their own, and then wait for its reply."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_langgraph.airflow_compat.native_rendering import name_as_text, names_that_lack_a_value
from airflow_provider_langgraph.airflow_compat.trace_context import trace_id_of, traceparent_of
from airflow_provider_langgraph.requests.arguments import connection_id
from airflow_provider_langgraph.requests.budget import check_budget
from airflow_provider_langgraph.requests.build import request_id
from airflow_provider_langgraph.requests.cancel import Canceller
from airflow_provider_langgraph.requests.client import CALL_SECONDS
from airflow_provider_langgraph.requests.given_names import require_values_in_names
from airflow_provider_langgraph.requests.graph_check import CHECK_SECONDS, GraphCheck, is_wanted, read_fleet
from airflow_provider_langgraph.requests.json_input import as_name
from airflow_provider_langgraph.requests.link_urls import LinkFields
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


_ASKED_BY = ("graph", "assistant", "fleet")
"""Names that say who is asked: with the word 'None' in one, another one would be."""


class RequestTask(ReplyTask):
    """A task that asks a fleet. A class that mixes it in says what it asks.

    :cvar name_fields: the template fields whose values are names, which stay text in every DAG.
    :ivar check_graph: whether the request is compared with what the workers announce; None: as configured.
    """

    name_fields: Sequence[str] = ()
    _lacking: tuple[str, ...] = ()
    check_graph: bool | None = False

    def _init_fleet(self, kafka_config_id: str, fleet: str | dict[str, str] | None) -> None:
        """Keep, and check, the arguments that say which fleet is asked."""
        self.kafka_config_id = connection_id(kafka_config_id)
        check_fleet(fleet)
        self.fleet = fleet

    def _init_budget(self, budget: Mapping[str, Any] | str | None) -> None:
        """Keep, and check, what the request may spend."""
        check_budget(budget)
        self.budget = budget

    def _event(self, context: Context) -> WorkflowEvent:
        """The request."""
        raise NotImplementedError

    def _publish(self, context: Context) -> RequestHandle:
        """Publish the request. What cannot be waited for as its author says is not asked for."""
        require_values_in_names(self._lacking)
        defer_after_seconds(self.defer_after)
        OutputSchema.of(self.output_schema)
        event, trace = self._event(context), traceparent_of(context["ti"])
        if is_wanted(self.check_graph):
            GraphCheck(self._author_names, self.log).check(read_fleet(self._connect(CHECK_SECONDS), self.log), event)
        handle = publish_request(self._connect(), event, self._kill, self._canceller, self.log, trace)
        self._show_links(context)
        return handle

    def _link_fields(self, context: Context) -> LinkFields:
        ti = context["ti"]
        thread_name = as_name(getattr(self, "thread_id", None))
        trace_id = trace_id_of(traceparent_of(ti))
        return LinkFields.of(ti, self._request_id(context), thread_name=thread_name, trace_id=trace_id)

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], context: Context, *arguments: Any, **named: Any
    ) -> None:
        """Airflow renders all fields by this, a mapped task's too. A name stays text in every DAG."""
        templates = {name: getattr(self, name) for name in self.name_fields}
        super()._do_render_template_fields(parent, template_fields, context, *arguments, **named)
        if parent is self:
            self._lacking = ()
            for name, template in templates.items():
                setattr(self, name, name_as_text(self, template, getattr(self, name), context))
                if name in _ASKED_BY:
                    self._note_what_lacks(template, getattr(self, name), context, name)

    def _note_what_lacks(self, template: Any, rendered: Any, context: Context, place: str) -> None:
        """Refused when the request is made, not here: a resumed task is rendered again, and has a result to return."""
        self._lacking += names_that_lack_a_value(self, template, rendered, context, place)

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
