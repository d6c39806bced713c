"""A secret as other texts quote it: in JSON, in Python, in URLs, in HTML, and by its lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from urllib.parse import quote, quote_plus

_QUOTED_TIMES = 2
"""JSON within JSON, as of a tool's answer in a message, or within what Python shows of a value."""

_LINE = re.compile(r"[A-Za-z0-9+/=_.-]{24,}")
"""A line that is a secret by itself, as those of a key in PEM are: where the whole is indented, it is not found."""

_PLAIN = re.compile(r"[A-Za-z0-9]+")
_JSON_IN_HTML = str.maketrans({one: f"\\u{ord(one):04x}" for one in "&<>'"})


class Secrets:
    """Finds secrets in texts. A text of megabytes without one takes a hundredth of a second for each secret."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form: _core(text) for secret in secrets for text in _texts(secret) for form in _forms(text)}
        self._forms = sorted(forms.items(), key=lambda found: (-len(found[0]), found[0]))
        self._cores = tuple(sorted(set(forms.values())))
        self._shortest = min(map(len, forms), default=0)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._forms)

    def may_be_in(self, written: bytes) -> bool:
        """Whether one may be in a text of UTF-8, JSON perhaps. Quick; now and then wrong where there is none."""
        return any(core.encode() in written for core in self._cores)

    def replaced(self, text: str, mask: str) -> str:
        """The text with ``mask`` in the place of each secret; the longest ones first."""
        if len(text) < self._shortest:
            return text
        found = [core for core in self._cores if core in text]
        if not found:
            return text
        for form, core in self._forms:
            if core in found and form in text:
                text = text.replace(form, mask)
        return text


def _core(text: str) -> str:
    """The longest part that is the same in every form."""
    return max(_PLAIN.findall(text), key=len, default="")


def _texts(secret: str) -> set[str]:
    """A secret, and what of it is one by itself."""
    lines = secret.split()
    return {secret, secret.strip(), *(line for line in lines if len(lines) > 1 and _LINE.fullmatch(line))}


def _forms(text: str) -> set[str]:
    """The forms of a text; of one of letters and digits there is one."""
    quoted = {text, repr(text.encode("utf-8", "replace"))[2:-1]}
    for _ in range(_QUOTED_TIMES):
        quoted |= {form for one in quoted for form in _quoted(one)}
    return {*quoted, *_in_urls(text), escape(text), escape(text, quote=False)}


def _quoted(text: str) -> Iterator[str]:
    """In JSON, as browsers and other languages write it too; in Python's ``repr``, by both quotation marks."""
    written = json.dumps(text)[1:-1]
    yield written
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield written.translate(_JSON_IN_HTML)
    yield written.replace("/", "\\/")
    yield repr(text)[1:-1]
    yield repr(f'"{text}')[2:-1]


def _in_urls(text: str) -> Iterator[str]:
    raw = text.encode("utf-8", "replace")
    for form in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield form
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), form)
