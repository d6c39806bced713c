"""What an author says of how a task asks a person, with ``on_interrupt="ask"``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from airflow_provider_langgraph.exceptions import SettingsError
from airflow_provider_langgraph.requests.approving import approving_part
from airflow_provider_langgraph.requests.arguments import one_of
from airflow_provider_langgraph.requests.deadline import as_timedelta
from airflow_provider_langgraph.requests.json_input import as_json
from airflow_provider_langgraph.requests.topics import is_still_to_come
from workflow_events.log_words import with_article

OnAnswerTimeout = Literal["fail", "reject"]
"""What a task does when nobody has answered in time: fail, or reject what the agent wants to do."""

ANSWER_TIMEOUT = timedelta(days=7)

_ARGUMENTS = ("assigned_users", "answer_timeout", "on_answer_timeout", "rejection", "subject")
_USER = (
    "Write {'id': 'ann', 'name': 'Ann'}, a list of such mappings, or the ids alone. An id is what Airflow's auth "
    "manager calls the user: the user name with the simple auth manager, the number of the user with that of FAB, and "
    "not the e-mail address"
)


@dataclass(frozen=True, slots=True)
class AskSettings:
    """Checked when the DAG file is parsed.

    :param assigned_users: who may answer, as ``id`` and ``name``; empty: everyone who may edit the DAG run.
    :param answer_timeout: how long one question waits for its answer.
    :param on_answer_timeout: what happens then. Nothing is ever approved by it.
    :param rejection: what rejects a question of the graph's own, as JSON; None if nothing does.
    """

    assigned_users: tuple[Mapping[str, str], ...] = ()
    answer_timeout: timedelta = ANSWER_TIMEOUT
    on_answer_timeout: OnAnswerTimeout = "fail"
    rejection: Any = None


def ask_settings(
    on_interrupt: str,
    *,
    assigned_users: Any,
    answer_timeout: timedelta | float | None,
    on_answer_timeout: OnAnswerTimeout,
    rejection: Any,
    subject: str | None,
) -> AskSettings:
    """Check the arguments of an operator that say how it asks.

    :raises SettingsError: one is wrong, or is given although the task asks nobody.
    """
    one_of("on_answer_timeout", on_answer_timeout, ("fail", "reject"))
    if on_interrupt != "ask":
        given = (assigned_users, answer_timeout, None if on_answer_timeout == "fail" else 1, rejection, subject)
        for name in (name for name, value in zip(_ARGUMENTS, given, strict=True) if value is not None):
            raise SettingsError(
                f"{name}: it says how a person is asked, and on_interrupt={on_interrupt!r} asks nobody. "
                f"Set on_interrupt='ask', or leave {name} out"
            )
    return AskSettings(
        assigned_users=_users(assigned_users),
        answer_timeout=ANSWER_TIMEOUT if answer_timeout is None else as_timedelta(answer_timeout, "answer_timeout"),
        on_answer_timeout=on_answer_timeout,
        rejection=_rejection(rejection, on_answer_timeout),
    )


def _users(given: Any) -> tuple[Mapping[str, str], ...]:
    if given is None:
        return ()
    _require_no_template(given, "assigned_users", f"{_USER}, as they are when the DAG file is parsed")
    users = [given] if isinstance(given, str | Mapping) else given
    if not isinstance(users, Sequence):
        raise SettingsError(f"assigned_users: {with_article(type(given).__qualname__)} names no users. {_USER}")
    if not users:
        raise SettingsError(
            "assigned_users: it is empty, so nobody may answer, which Airflow would take for everyone. Name one user "
            "at least, or leave assigned_users out: then everyone who may edit the DAG run may answer"
        )
    return tuple(_user(one, place) for place, one in enumerate(users))


def _user(given: Any, place: int) -> Mapping[str, str]:
    user = {"id": given, "name": given} if isinstance(given, str) else given
    id_ = user.get("id") if isinstance(user, Mapping) else None
    if not isinstance(id_, str) or not id_.strip():
        raise SettingsError(f"assigned_users.{place}: {given!r} has no id of a user, which is a text. {_USER}")
    return {"id": id_, "name": str(user.get("name") or id_)}


def _rejection(given: Any, on_answer_timeout: str) -> Any:
    if given is None:
        return None
    if on_answer_timeout != "reject":
        raise SettingsError(
            "rejection: it is the answer that is given where nobody has answered, and on_answer_timeout='fail' gives "
            "none. Set on_answer_timeout='reject', or leave rejection out"
        )
    _require_no_template(given, "rejection", "Write the answer itself, such as 'no'")
    value = as_json(given, "rejection")
    found = approving_part(value)
    if found is not None:
        place, part = found
        where = f" {place} {part!r}" if place else " it"
        raise SettingsError(
            f"rejection: {given!r} approves, and what nobody has answered is never approved:{where} may be read as a "
            "yes. Give 'no', False, or {'type': 'reject', 'message': '...'}, whose message is free"
        )
    return value


def _require_no_template(given: Any, name: str, remedy: str) -> None:
    """Refuse a value that Airflow would have to render, also inside: these arguments are no template fields."""
    if is_still_to_come(given):
        what = repr(given) if isinstance(given, str) else "the output of a task"
        raise SettingsError(f"{name}: {what} is known when the task runs only, and {name} is no template. {remedy}")
    if isinstance(given, Mapping):
        for part in given.values():
            _require_no_template(part, name, remedy)
    elif isinstance(given, Collection) and not isinstance(given, str | bytes):
        for part in given:
            _require_no_template(part, name, remedy)
