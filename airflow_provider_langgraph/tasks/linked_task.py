"""What the tasks share that show links to the run, the thread and the trace of their request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.links.langgraph import configured_links
from airflow_provider_langgraph.requests.link_urls import LinkFields, link_url
from airflow_provider_langgraph.tasks.checked_arguments import CheckedArguments

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperatorLink, Context


class _ConfiguredLinks:
    """The links of a task, and of its class.

    A mapped task has those of the class. Airflow reads them when it serialises the DAG, and when a task ends whose
    arguments were refused. A property would be no list there: Airflow would fail, and call no callback.
    """

    def __get__(self, task: Any, owner: Any = None) -> tuple[BaseOperatorLink, ...]:
        return configured_links()


class LinkedTask(CheckedArguments):
    """A task with links.

    :ivar link_fields: what its links can name; None as long as it has no request, or no link is configured.
    """

    link_fields: LinkFields | None = None
    operator_extra_links = _ConfiguredLinks()

    def _link_fields(self, context: Context) -> LinkFields:
        """What is known of the task's request."""
        raise NotImplementedError

    def _show_links(self, context: Context) -> None:
        """Show the links from now on. When the task defers or ends, Airflow computes and keeps them once more.

        Nothing in here may fail the task: a link that cannot be shown is a warning in its log.
        """
        self._note_links(context)
        if self.link_fields is None:
            return
        for link in configured_links():
            try:
                url = link_url(link.option, self.link_fields)
                if url:
                    context["ti"].xcom_push(key=link.xcom_key, value=url)
            except SettingsError as error:
                self.log.warning("The link %r is not shown: %s", link.name, error)
            except Exception as error:  # noqa: BLE001 - any exception of Airflow's
                self.log.warning("The link %r cannot be shown yet: %s", link.name, error)

    def _note_links(self, context: Context) -> None:
        """Note what the links can name, in each process of the task: Airflow would keep empty links instead."""
        if configured_links():
            try:
                self.link_fields = self._link_fields(context)
            except Exception as error:  # noqa: BLE001 - what is wrong fails the task where it matters
                self.log.debug("No links: %s", error)
