"""The links of a task to its agent: its run, its trace, its thread. Airflow shows them on the task instance's page.

Airflow computes a link in the task's process and keeps its URL as an XCom; its API server only reads that.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.link_urls import LinkOption, is_configured, link_url

__all__ = ["AgentRunLink", "AgentThreadLink", "AgentTraceLink"]


class _AgentLink(BaseOperatorLink):
    """A link whose URL is made from an option of ``[langgraph]``.

    :cvar option: the option that holds the template.
    """

    option: LinkOption

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """The URL; empty where there is none, which Airflow shows as no link. Called by Airflow when a task's process
        ends, also before it defers.

        :param operator: the task that was executed; it has its :attr:`link_fields` once its request is published.
        """
        fields = getattr(operator, "link_fields", None)
        try:
            return link_url(self.option, fields) if fields is not None else ""
        except SettingsError:  # the task's log has it already
            return ""


class AgentRunLink(_AgentLink):
    """The run of the task's request."""

    name = "Agent run"
    option = "run_url"


class AgentTraceLink(_AgentLink):
    """The OpenTelemetry trace of the task, which its request has handed to the worker."""

    name = "Agent trace"
    option = "trace_url"


class AgentThreadLink(_AgentLink):
    """The conversation that the run belongs to."""

    name = "Agent thread"
    option = "thread_url"


_ALL = (AgentRunLink(), AgentTraceLink(), AgentThreadLink())


def configured_links() -> tuple[_AgentLink, ...]:
    """Those that Airflow's configuration has a URL for. Airflow shows a heading for links that have none."""
    return tuple(link for link in _ALL if is_configured(link.option))
