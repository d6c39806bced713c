"""The URLs behind a task's links: templates of Airflow's configuration, filled with the values of its request."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace
from string import Formatter
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote
from uuid import UUID

from airflow.providers.common.compat.sdk import conf

from airflow_provider_langgraph.exceptions import SettingsError
from workflow_events.nearest_name import did_you_mean

if TYPE_CHECKING:
    from airflow_provider_langgraph.requests.handle import RequestHandle

LinkOption = Literal["run_url", "trace_url", "thread_url"]
"""An option of ``[langgraph]`` that holds the template of a link."""


@dataclass(frozen=True, slots=True)
class LinkFields:
    """What a template can name. None: not known, or not yet.

    :param thread_name: the author's name of the conversation.
    :param thread_id: the thread's id, as the result names it.
    :param trace_id: of a trace that is recorded, 32 hex digits.
    """

    correlation_id: UUID
    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    thread_name: str | None = None
    thread_id: str | None = None
    trace_id: str | None = None

    @classmethod
    def of(cls, ti: Any, correlation_id: UUID, **known: str | None) -> LinkFields:
        """The fields of a task instance that is about one request.

        :param known: what else is known: ``thread_name``, ``thread_id``, ``trace_id``.
        """
        map_index = -1 if ti.map_index is None else ti.map_index
        return cls(correlation_id, ti.dag_id, ti.run_id, ti.task_id, map_index, **known)

    @classmethod
    def of_handle(cls, ti: Any, handle: RequestHandle) -> LinkFields:
        """The fields of a task instance that is about another task's request."""
        return cls.of(ti, handle.correlation_id, thread_name=handle.thread_id, trace_id=handle.trace_id)

    def with_thread(self, thread_id: str | None, thread_name: str | None) -> LinkFields:
        """The fields with what a result says of its thread; None says nothing."""
        return replace(self, thread_id=thread_id or self.thread_id, thread_name=thread_name or self.thread_name)


FIELDS = tuple(LinkFields.__dataclass_fields__)

_START = re.compile(r"https?://[^\s/?#{}]+(?=[/?#]|$)", re.IGNORECASE)
_UNFIT = re.compile(r"[\s\x00-\x1f\x7f\"<>\\]")


def is_configured(option: LinkOption) -> bool:
    """Whether there is a template, right or wrong."""
    try:
        return bool(_template(option))
    except SettingsError:
        return True


def link_url(option: LinkOption, fields: LinkFields) -> str:
    """The URL of a link; empty if there is no template, or if a value that it names is not known, or cannot
    stand in a URL.

    :raises SettingsError: the template is wrong: names the option, the place and the remedy.
    """
    template = _template(option)
    if not template:
        return ""
    parts = _parts(template, option)
    values = asdict(fields)
    if any(name is not None and values[name] is None for _, name in parts):
        return ""
    try:
        url = "".join(text + ("" if name is None else quote(str(values[name]), safe="")) for text, name in parts)
    except UnicodeEncodeError:  # half of a surrogate pair
        return ""
    # A browser goes up for a segment of dots, also for one in percent encoding.
    return "" if any(one in (".", "..") for one in re.split(r"[?#]", url)[0].split("/")) else url


def _template(option: LinkOption) -> str:
    try:
        return str(conf.get("langgraph", option, fallback="")).strip()
    except Exception as error:  # noqa: BLE001 - a percent sign that is not doubled, a command that fails
        raise SettingsError(f"{_named(option)} cannot be read: {error}. In airflow.cfg, write %% for %") from None


def _parts(template: str, option: LinkOption) -> list[tuple[str, str | None]]:
    """The template as texts, each with the field behind it.

    :raises SettingsError: as :func:`link_url`.
    """
    if not _START.match(template):
        raise _wrong(option, "it must begin with http:// or https:// and a host, in which no field stands")
    if _UNFIT.search(template):
        raise _wrong(
            option, "a blank, a quote, a backslash, < or > cannot stand in a URL. Write it in percent encoding"
        )
    try:
        found = list(Formatter().parse(template))
    except ValueError as error:
        raise _wrong(option, f"{error}. Write {{{{ and }}}} for braces that are no field") from None
    for _, name, form, conversion in found:
        if name is not None and (name not in FIELDS or form or conversion):
            raise _wrong(option, _unknown(name, form, conversion))
    return [(text, name) for text, name, _, _ in found]


def _unknown(name: str, form: str | None, conversion: str | None) -> str:
    written = f"{{{name}{f'!{conversion}' if conversion else ''}{f':{form}' if form else ''}}}"
    allowed = ", ".join(f"{{{one}}}" for one in FIELDS)
    return f"there is no field {written}.{did_you_mean(name, FIELDS)} The fields are {allowed}"


def _wrong(option: LinkOption, why: str) -> SettingsError:
    return SettingsError(f"{_named(option)}: {why}")


def _named(option: LinkOption) -> str:
    return f"[langgraph] {option} of Airflow's configuration"
