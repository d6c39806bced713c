"""What a person has put into the form, as the answers that the graph gets; or why it cannot be one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_langgraph.requests.answer_form import ANSWER, CODE_FIELD, field_of
from airflow_provider_langgraph.requests.asked_question import AskedQuestion
from airflow_provider_langgraph.requests.question_parts import GO_ON, QuestionPart
from workflow_events.log_words import counted
from workflow_events.plain_text import one_line

_SHOWN_CHARACTERS = 60
_LONGEST_NAME_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class PersonsAnswer:
    """An answer to all that is asked.

    :param answers: by interrupt id, as JSON.
    :param answered_by: the Airflow user.
    :param decisions: in words, one for each part; a typed text is not among them.
    """

    answers: Mapping[str, Any]
    answered_by: str
    decisions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an answer does not reach the agent, for the person who gave it."""

    reason: str


class _Refused(ValueError):
    """Carries a refusal to where the answer was to be read."""


def persons_answer(asked: AskedQuestion, event: Mapping[str, Any]) -> PersonsAnswer | Refusal:
    """Read what Airflow hands over when a form was answered.

    :param event: ``chosen_options``, ``params_input`` and ``responded_by_user``.
    """
    try:
        who = _who(event.get("responded_by_user"), asked.users)
        fields = event.get("params_input") or {}
        _require_code(asked.code, fields.get(CODE_FIELD))
        decided = _decided(asked.parts, event.get("chosen_options") or [], fields)
    except _Refused as refused:
        return Refusal(str(refused))
    words = tuple(word for _, word in decided)
    return PersonsAnswer(_by_interrupt(asked.parts, [value for value, _ in decided]), who, words)


def rejections(asked: AskedQuestion, rejection: Any, why: str) -> Mapping[str, Any] | Refusal:
    """The answers that reject all that is asked; a refusal if a part cannot be rejected.

    :param rejection: what rejects a question of the graph's own; None if nothing does.
    :param why: the reason, for the agent.
    """
    try:
        values = [_rejection(part, rejection, why, _name(asked.parts, place)) for place, part in enumerate(asked.parts)]
    except _Refused as refused:
        return Refusal(str(refused))
    return _by_interrupt(asked.parts, values)


def _who(user: Any, users: Sequence[str]) -> str:
    id_ = str(user.get("id") or "") if isinstance(user, Mapping) else ""
    if not id_:
        raise _Refused("it names no person, and only a person's answer counts")
    if users and id_ not in users:
        raise _Refused(f"{one_line(id_)} is none of the assigned users, which are {', '.join(map(one_line, users))}")
    name = str(user.get("name") or id_)
    return one_line(id_ if name == id_ else f"{name} ({id_})")[:_LONGEST_NAME_CHARACTERS]


def _require_code(code: str, given: Any) -> None:
    found = str(given or "").strip(" \t\r\n`'\"").casefold()
    if found == code:
        return
    if not found:
        raise _Refused(f"its field {CODE_FIELD} is empty. The present question has the code {code}")
    raise _Refused(
        f"it has the code {_shown(found)}, which is of another question. The present question has the code {code}: "
        f"read it, and put its code into the field {CODE_FIELD}"
    )


def _decided(parts: Sequence[QuestionPart], chosen: Any, fields: Mapping[str, Any]) -> list[tuple[Any, str]]:
    """Each part's answer, with a word for it."""
    _require_no_more(parts, fields)
    if len(chosen) != 1:
        raise _Refused("it has no button, or several. Press one")
    [button] = chosen
    if button != ANSWER:
        if len(parts) > 1:
            raise _Refused(
                f"the button {_shown(button)} answers one question, and there are {len(parts)}. "
                f"Fill in all fields, and press {ANSWER}"
            )
        return [_pressed(parts[0], button, fields.get(field_of(0)))]
    given = _texts(parts, fields)
    return [
        _written(part, text, _name(parts, place)) for place, (part, text) in enumerate(zip(parts, given, strict=True))
    ]


def _require_no_more(parts: Sequence[QuestionPart], fields: Mapping[str, Any]) -> None:
    known = {CODE_FIELD, *(field_of(place) for place in range(len(parts)))}
    for name, value in fields.items():
        if name not in known and name.startswith(field_of(0)) and not _is_empty(value):
            raise _Refused(f"the field {_shown(name)} is filled in, and {_asked(parts)} asked. Leave it empty")


def _texts(parts: Sequence[QuestionPart], fields: Mapping[str, Any]) -> list[Any]:
    """What the fields hold for each part. A form of an earlier question may have one field only: then it is a list."""
    given = [fields.get(field_of(place)) for place in range(len(parts))]
    if len(parts) > 1 and all(map(_is_empty, given[1:])):
        listed = _json(given[0])
        if isinstance(listed, list) and len(listed) == len(parts):
            given = listed
    for place, value in enumerate(given):
        if _is_empty(value):
            more = f", or all {len(parts)} answers in a JSON list into {field_of(0)}" if len(parts) > 1 else ""
            raise _Refused(f"{_name(parts, place)} has no answer. Write it into the field {field_of(place)}{more}")
    return given


def _pressed(part: QuestionPart, button: str, text: Any) -> tuple[Any, str]:
    """The answer of a form with one part, by a button of its own."""
    if part.kind == "action" and button.casefold() in part.allowed:
        return _decision(part, button.casefold(), text, "the question")
    if part.kind == "stop" and button.casefold() == GO_ON:
        return GO_ON, GO_ON
    if part.kind == "choice" and button in part.allowed:
        if not _is_empty(text):
            raise _Refused(
                f"an option was pressed, and the field {field_of(0)} is filled in too. Leave one of them out"
            )
        return button, "an option"
    raise _Refused(
        f"the button {_shown(button)} is not for this question. Write the answer into the field {field_of(0)}, and "
        f"press {ANSWER}"
    )


def _written(part: QuestionPart, text: Any, name: str) -> tuple[Any, str]:
    """The answer to one part, by what its field says."""
    if part.kind == "text":
        return _json(text), "an answer"
    word, _, rest = str(text).strip().partition(":")
    if part.kind == "action":
        if word.strip().casefold() not in part.allowed:
            raise _Refused(f"{name} allows {', '.join(part.allowed)}, and the field begins with {_shown(word)}")
        return _decision(part, word.strip().casefold(), rest, name)
    for one in part.allowed:
        if one.casefold() == str(text).strip().casefold():
            return one, GO_ON if part.kind == "stop" else "an option"
    raise _Refused(f"{name} allows {', '.join(part.allowed)}, and not {_shown(str(text))}")


def _decision(part: QuestionPart, decision: str, text: Any, name: str) -> tuple[Any, str]:
    """A decision in the form of LangChain's middleware."""
    match decision:
        case "approve":
            if not _is_empty(text):
                raise _Refused(
                    f"{name} is approved, and there is a text as well. To approve, leave it out; to change the "
                    "arguments, edit; to give a reason, reject"
                )
            return {"type": "approve"}, decision
        case "edit":
            arguments = _json(text)
            if not isinstance(arguments, dict):
                raise _Refused(
                    f"{name} is edited, and there are no new arguments. Give all of them as a JSON object, such as "
                    '{"to": "ann"}'
                )
            return {"type": "edit", "edited_action": {"name": part.tool, "args": arguments}}, decision
        case "respond":
            if _is_empty(text):
                raise _Refused(f"{name} is responded to, and the response is empty")
            return {"type": "respond", "message": str(text).strip()}, decision
        case _:
            return {"type": "reject", **({} if _is_empty(text) else {"message": str(text).strip()})}, decision


def _rejection(part: QuestionPart, rejection: Any, why: str, name: str) -> Any:
    if part.kind == "action" and "reject" in part.allowed:
        return {"type": "reject", "message": why}
    if part.kind == "action":
        raise _Refused(f"{name} cannot be rejected: it allows {', '.join(part.allowed)} only")
    if part.kind == "stop":
        raise _Refused(f"{name} cannot be rejected: it is a breakpoint, and every answer lets the agent go on")
    if rejection is None:
        raise _Refused(f"{name} has no decisions, and the task has no rejection=, which is the answer that rejects it")
    if part.kind == "choice" and rejection not in part.allowed:
        raise _Refused(f"{name} allows {', '.join(part.allowed)}, and rejection is none of them")
    return rejection


def _by_interrupt(parts: Sequence[QuestionPart], values: Sequence[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part, value in zip(parts, values, strict=True):
        if part.batched:
            found.setdefault(part.interrupt_id, {"decisions": []})["decisions"].append(value)
        else:
            found[part.interrupt_id] = value
    return found


def _json(text: Any) -> Any:
    """The JSON value of a text, or the text; what is no text is a value already."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text, parse_constant=_no_number, object_pairs_hook=_each_key_once)
    except _Refused:
        raise
    except (ValueError, RecursionError):
        return text


def _each_key_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Refused(
                f"its JSON has the key {_shown(key)} twice, so it is not clear which one is meant. Leave one"
            )
        found[key] = value
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _name(parts: Sequence[QuestionPart], place: int) -> str:
    return "the question" if len(parts) == 1 else f"question {place + 1}"


def _asked(parts: Sequence[QuestionPart]) -> str:
    return f"only {counted(len(parts), 'question')} {'is' if len(parts) == 1 else 'are'}"


def _shown(text: str) -> str:
    kept = one_line(str(text))
    return repr(kept if len(kept) <= _SHOWN_CHARACTERS else f"{kept[:_SHOWN_CHARACTERS]}…")
