"""The form in which Airflow asks a person: a subject, the question as Markdown, buttons and fields.

Every form can answer every question, since Airflow 3.1 to 3.3 show the first form of a task for all its later questions
too: the button ``Answer`` takes what the fields say, and the field ``code`` names the question that they answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_langgraph.requests.question_parts import PartText, QuestionPart
from airflow_provider_langgraph.requests.shown_text import code_block, inline_code, shown_name, shown_text, shown_value
from workflow_events.log_words import counted
from workflow_events.plain_text import one_line

ANSWER = "Answer"
"""The button that every form has: the fields say what is answered."""

CODE_FIELD = "code"

MOST_PARTS = 20
"""How much a person can be asked in one form."""

LONGEST_BODY_CHARACTERS = 12_000
"""How much of all questions and their options together a form shows: MySQL keeps 65,535 bytes of it, and a character
has up to four."""

_LONGEST_SUBJECT_CHARACTERS = 200

_HEADINGS = {
    "action": "The agent wants to call a tool",
    "choice": "The agent asks for one of its options",
    "text": "The agent asks",
    "stop": "The agent has stopped at a breakpoint",
}
_BY_TEXT = {
    "approve": "`approve`",
    "edit": "`edit: {the new arguments, as JSON}`",
    "reject": "`reject`, or `reject: the reason`",
    "respond": "`respond: what the agent gets as the result of the call`",
}
_BY_BUTTON = {
    "approve": "**Approve** makes the call as it is; leave `answer` empty",
    "edit": "**Edit** makes it with other arguments; `answer` holds all of them, as JSON",
    "reject": "**Reject** makes none; `answer` may hold the reason",
    "respond": "**Respond** makes none; `answer` holds what the agent gets as the result of the call",
}


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """What Airflow is asked to show. It is kept while the task waits, to be shown again after an unusable answer.

    :param users: who may answer, as ``id`` and ``name``; empty: everyone who may edit the DAG run.
    :param is_whole: it shows all that is asked. Else the task's log has to.
    """

    subject: str
    body: str
    options: tuple[str, ...]
    params: Mapping[str, Mapping[str, Any]]
    users: tuple[Mapping[str, str], ...] = ()
    is_whole: bool = True

    @property
    def code(self) -> str:
        """What its field ``code`` holds: the question's code; nothing if it does not show all that is asked."""
        return str(self.params[CODE_FIELD]["value"])

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "subject": self.subject,
            "body": self.body,
            "options": list(self.options),
            "params": {name: dict(one) for name, one in self.params.items()},
            "users": [dict(user) for user in self.users],
            "is_whole": self.is_whole,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AnswerForm:
        """Read :meth:`to_dict` back; that of an older version says nothing of what it shows."""
        is_whole = bool(data.get("is_whole", True))
        return cls(
            data["subject"], data["body"], tuple(data["options"]), data["params"], tuple(data["users"]), is_whole
        )


@dataclass(frozen=True, slots=True)
class _Piece:
    """One part of a form's body.

    :param blocks: Markdown.
    :param is_whole: all that a person has to read of it is in them.
    :param characters: of all that.
    :param options: the texts that it offers, as Markdown.
    """

    blocks: tuple[str, ...]
    is_whole: bool
    characters: int
    options: str = ""


def answer_form(
    asked: Sequence[tuple[QuestionPart, PartText]],
    code: str,
    *,
    subject: str,
    whole: str,
    users: Sequence[Mapping[str, str]] = (),
) -> AnswerForm:
    """The form for what is asked. One that does not show all of it names no code and has no button that decides: so
    nobody approves what they have not read.

    :param asked: the parts with their texts, as the graph gave them.
    :param whole: where the whole of a text stands that is too long for the form, and behind it the code.
    """
    parts = [part for part, _ in asked]
    most = LONGEST_BODY_CHARACTERS // max(len(asked), 1)
    pieces = [_piece(part, text, most) for part, text in asked]
    is_whole = all(piece.is_whole for piece in pieces)
    return AnswerForm(
        subject=_shortened(one_line(subject), _LONGEST_SUBJECT_CHARACTERS),
        body=_body(parts, pieces, code if is_whole else "", whole),
        options=_buttons(parts) if is_whole else (ANSWER,),
        params=_fields(len(parts), code if is_whole else ""),
        users=tuple(users),
        is_whole=is_whole,
    )


def field_of(place: int) -> str:
    """The name of the field for one part, counted from 0: ``answer``, ``answer_2``, ..."""
    return "answer" if place == 0 else f"answer_{place + 1}"


def _piece(part: QuestionPart, text: PartText, most: int) -> _Piece:
    if part.kind == "action":
        return _call(part, text, most)
    options, has_all = _named_options(part, most // 2)
    shown = shown_value(text.value, most - len(options))
    return _Piece((code_block(shown.text),), shown.is_whole and has_all, shown.characters, options)


def _call(part: QuestionPart, text: PartText, most: int) -> _Piece:
    """The call as it would be made, from its own fields; apart from it, and behind it, what the agent says about it."""
    name, call = shown_name(part.tool), shown_value(text.value, most)
    about = shown_text(text.about, most - len(call.text))
    said = ("What the agent says about it:", code_block(about.text)) if about.text else ()
    return _Piece(
        (code_block(f"tool: {name.text}\narguments: {call.text}"), *said),
        name.is_whole and call.is_whole and about.is_whole,
        sum(one.characters for one in (name, call, about)),
    )


def _named_options(part: QuestionPart, most: int) -> tuple[str, bool]:
    """The options of a part as Markdown, as many as have room, and whether these are all."""
    shown = ""
    for place, option in enumerate(map(inline_code, part.allowed)):
        if len(shown) + len(option) > most:
            return f"{shown}, and {len(part.allowed) - place} more", False
        shown += f", {option}" if shown else option
    return shown, True


def _body(parts: Sequence[QuestionPart], pieces: Sequence[_Piece], code: str, whole: str) -> str:
    """:param code: empty if the form does not show all."""
    alone = len(parts) == 1
    lines = []
    for place, (part, piece) in enumerate(zip(parts, pieces, strict=True)):
        number = "" if alone else f"{place + 1}. "
        lines += [f"#### {number}{_HEADINGS[part.kind]}", *piece.blocks]
        if not piece.is_whole:
            lines.append(f"This is the beginning. The whole, {piece.characters:,} characters, is in {whole}.")
        is_pressed = alone and code
        lines.append(_by_button(part) if is_pressed else f"Field `{field_of(place)}`: {_by_text(part, piece)}.")
    if not alone:
        lines.append(f"Fill in all {counted(len(parts), 'field')}, and press **{ANSWER}**.")
    return "\n\n".join([*lines, _about_code(code, whole)])


def _about_code(code: str, whole: str) -> str:
    if not code:
        return (
            "**This form does not show everything that is asked.** So no button decides, and the field `code` is "
            f"empty. Read the whole in {whole}. The task's log names the code of the question behind the whole: put it "
            f"into the field `code`, and press **{ANSWER}**. An answer without it reaches no agent."
        )
    return (
        f"This is the question with the code `{code}`. If the task asks again, Airflow may still show this text: the "
        "task's log has the present question with its code. An answer with another code reaches no agent."
    )


def _by_button(part: QuestionPart) -> str:
    match part.kind:
        case "action":
            return ". ".join(_BY_BUTTON[name] for name in part.allowed) + "."
        case "choice":
            return "Press one of the options."
        case "stop":
            return "**Continue** lets it go on."
        case _:
            return f"Write into `answer`, JSON or text, and press **{ANSWER}**."


def _by_text(part: QuestionPart, piece: _Piece) -> str:
    match part.kind:
        case "action":
            return "; ".join(_BY_TEXT[name] for name in part.allowed)
        case "text":
            return "JSON or text"
        case _:
            return f"one of {piece.options}"


def _buttons(parts: Sequence[QuestionPart]) -> tuple[str, ...]:
    if len(parts) != 1 or parts[0].kind == "text":
        return (ANSWER,)
    [part] = parts
    if part.kind == "choice":
        named = () if ANSWER.casefold() in map(str.casefold, part.allowed) else part.allowed
    else:
        named = tuple(one.capitalize() for one in part.allowed)
    return (*named, ANSWER)


def _fields(count: int, code: str) -> dict[str, dict[str, Any]]:
    about = "Names the question that is answered. Change it only to the code that the task's log shows."
    text = {"type": ["string", "null"]}
    return {
        CODE_FIELD: {"value": code, "description": about, "schema": {**text, "title": "Code of the question"}},
        **{
            field_of(place): {
                "value": "",
                "description": "See above.",
                "schema": {**text, "title": f"Answer {place + 1}" if count > 1 else ANSWER, "format": "multiline"},
            }
            for place in range(count)
        },
    }


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
