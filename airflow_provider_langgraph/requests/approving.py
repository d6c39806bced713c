"""Whether a value may approve something, in the eyes of any graph. In doubt it may."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_APPROVES = frozenset(
    {
        *("accept", "accepted", "accepts", "accepting", "acceptance", "acknowledge", "acknowledged", "acked"),
        *("agree", "agreed", "agrees", "agreement", "ahead", "allow", "allowed", "allows", "allowing"),
        *("approve", "approved", "approves", "approving", "approval", "approvals"),
        *("authorise", "authorised", "authorize", "authorized", "confirm", "confirmed", "confirms"),
        *("continue", "continued", "continues", "da", "edit", "edited", "fine", "go", "good", "grant", "granted"),
        *("ja", "lgtm", "ok", "okay", "oui", "pass", "permit", "permitted", "proceed", "proceeds"),
        *("sí", "sim", "sure", "tak", "true", "y", "ye", "yea", "yeah", "yep", "yes", "yup"),
        *("👍", "✅", "✔"),
    }
)
_REJECTS = frozenset(
    {
        *("abort", "aborted", "block", "blocked", "cancel", "canceled", "cancelled", "decline", "declined"),
        *("deny", "denied", "disallow", "disallowed", "disapprove", "disapproved", "false", "forbid", "forbidden"),
        *("halt", "ignore", "ignored", "n", "nein", "no", "non", "nope", "none", "nobody", "refuse", "refused"),
        *("reject", "rejected", "rejection", "skip", "skipped", "stop", "stopped", "veto", "vetoed"),
    }
)
_NOT = frozenset({"no", "not", "never", "nobody", "none", "without", "cannot", "noone", "neither", "nor"})
_BETWEEN = frozenset(
    {"has", "have", "had", "be", "been", "was", "were", "is", "are", "yet", "ever", "being", "could"} | {"one", "go"}
)
"""What may stand between a negation and the word that it negates: nobody *has* approved, not *yet been* approved."""

_REASONS = frozenset(
    {"because", "comment", "comments", "detail", "details", "explanation", "feedback", "message", "note", "notes"}
    | {"rationale", "reason", "reasons", "text", "why"}
)
_DECIDES = frozenset({"action", "answer", "decision", "outcome", "status", "type", "verdict"})

_CLAUSE_END = re.compile(r"[^\w\s'’👍✅✔]+|\bbut\b|\bso\b|\band\b")
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?|[👍✅✔]")
_CAPITALS = re.compile(r"(?<=[a-z])(?=[A-Z])")


def approving_part(value: Any) -> Any:
    """The first part of a JSON value that may approve something, with its place; None if there is none.

    Texts are read by their words, in any case: a yes in them counts, also beside others, unless a negation stands
    before it ("nobody has approved"). True and every number but 0 count as a yes. The names of a mapping count too:
    ``approved`` needs a no, ``rejected`` a yes. Where a mapping clearly rejects, the text of its reason is free.

    :returns: the place, as names and numbers joined by dots, and the part; the place is empty for the value itself.
    """
    return next(_found(value, ""), None)


def _found(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        rejects = _clearly_rejects(value)
        for name, part in value.items():
            if not (rejects and isinstance(part, str) and name.casefold() in _REASONS):
                yield from _named(name, part, f"{place}.{name}" if place else name)
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _found(part, f"{place}.{number}" if place else str(number))
    elif _says_yes(value):
        yield place, value


def _named(name: str, part: Any, place: str) -> Iterator[tuple[str, Any]]:
    """A part of a mapping: what it means depends on its name."""
    words = set(_words(_CAPITALS.sub(" ", name)))
    if words & _REJECTS:
        if not part or (isinstance(part, str) and _first_word(part) in _REJECTS):  # "rejected": false
            yield place, part
    elif words & _APPROVES:
        if part and not (isinstance(part, str) and _is_no(part)):
            yield place, part
    else:
        yield from _found(part, place)


def _clearly_rejects(value: Mapping[str, Any]) -> bool:
    for name, part in value.items():
        word = name.casefold()
        if word in _DECIDES and isinstance(part, str) and _is_no(part):
            return True
        if word in _APPROVES and part is False:
            return True
        if word in _REJECTS and part is True:
            return True
    return False


def _is_no(text: str) -> bool:
    """Whether a text is one word, which rejects."""
    words = _words(text)
    return len(words) == 1 and words[0] in _REJECTS


def _first_word(text: str) -> str:
    return next(iter(_words(text)), "")


def _says_yes(value: Any) -> bool:
    if isinstance(value, str):
        return _is_number(value) or any(
            _clause_says_yes(_words(clause)) for clause in _CLAUSE_END.split(value.casefold())
        )
    return bool(value)


def _is_number(text: str) -> bool:
    try:
        return float(text) != 0
    except ValueError:
        return False


def _clause_says_yes(words: list[str]) -> bool:
    negated = False
    for word in words:
        if word in _APPROVES and not negated:
            return True
        negated = word in _NOT or word.endswith(("n't", "n’t")) or (negated and word in _BETWEEN)
    return False


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
