"""Content as it may leave the store or the process: without known secrets, and as the project's hook wants it.

Checkpoints, inputs and the long-term memory stay as they are: runs go on from them.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

import pydantic_core
from pydantic import JsonValue

from langgraph_worker.domain.json_values import to_json
from langgraph_worker.domain.models import Failure
from langgraph_worker.domain.secret_forms import Secrets
from langgraph_worker.errors import WorkerError
from workflow_events.log_words import with_article
from workflow_events.results import Interrupt, WorkflowResultEvent

Place = Literal["log", "result", "step", "progress", "trace", "dead_letter", "show"]
"""Where a value is about to go. ``result``: also the errors that the store keeps; ``show``: a command's output."""

Hook = Callable[[str | int | float, Place, str], JsonValue]
"""Gets a text or a number, its place, and its path there, such as ``messages[0].content``; returns what goes there."""

MASK = "***"
_TOO_DEEP = "a value is nested too deeply to be redacted"


class RedactionError(WorkerError):
    """The project's hook failed, or a value cannot be looked through. The text holds nothing of either."""


class Redactor:
    """Changes values before they go to a :data:`Place`. Safe in every thread.

    :param secrets: texts that are masked everywhere, in the forms in which they are quoted, too.
    :param hook: the project's; None: it has none.
    """

    def __init__(self, secrets: Iterable[str] = (), hook: Hook | None = None) -> None:
        self._secrets = Secrets(secrets)
        self._hook = hook
        self._present = threading.local()

    @property
    def changes_nothing(self) -> bool:
        """Whether there is nothing to mask, and nobody to ask."""
        return not self._secrets and self._hook is None

    def masked(self, text: str) -> str:
        """A text without the known secrets. The hook is not asked."""
        return self._secrets.replaced(text, MASK)

    def masked_value(self, value: JsonValue) -> JsonValue:
        """A value without the known secrets. The hook is not asked: for what is no content, such as schemas.

        :raises RedactionError: the value is nested too deeply.
        """
        if not self._has_secret(value):
            return value
        try:
            return _walked(lambda one, path: self.masked(one) if isinstance(one, str) else one, value, "")
        except RecursionError:
            raise RedactionError(_TOO_DEEP) from None

    # ---- where a value that cannot be redacted must not pass for one that was ----

    def value(self, place: Place, value: JsonValue, path: str = "") -> JsonValue:
        """A value of JSON as it may go there.

        :raises RedactionError: the hook failed, or the value is nested too deeply.
        """
        return self.masked_value(value) if self._hook is None else self._by_hook(self._hook, place, value, path)

    def text(self, place: Place, text: str, path: str = "") -> str:
        """A text as it may go there; what the hook makes of it is shown as text.

        :raises RedactionError: the hook failed.
        """
        return _as_text(self.value(place, text, path))

    def result(self, result: WorkflowResultEvent, place: Place = "result") -> WorkflowResultEvent:
        """A run's result as it may go there.

        :raises RedactionError: the hook failed.
        """
        if self.changes_nothing:
            return result
        questions = [
            Interrupt(id=one.id, value=self.value(place, one.value, f"interrupts[{number}]"))
            for number, one in enumerate(result.interrupts)
        ]
        update: dict[str, Any] = {"result": self.value(place, result.result, "result"), "interrupts": questions}
        for name in ("error", "traceback"):
            if (text := getattr(result, name)) is not None:
                update[name] = self.text(place, text, name)
        return result.model_copy(update=update)

    def failure(self, failure: Failure, place: Place = "result") -> Failure:
        """An error as it may go there.

        :raises RedactionError: the hook failed.
        """
        message, traceback = failure.message, failure.traceback
        return replace(
            failure,
            message=self.text(place, message, "error"),
            traceback=self.text(place, traceback, "traceback"),
        )

    # ---- where a note in its place does no harm ----

    def shown(self, place: Place, value: JsonValue, path: str = "") -> JsonValue:
        """A value of JSON as it may go there; a note, if the hook failed. Never raises."""
        try:
            return self.value(place, value, path)
        except RedactionError as error:
            return _note(error)

    def shown_text(self, place: Place, text: str, path: str = "") -> str:
        """A text as it may go there; a note, if the hook failed. Never raises."""
        try:
            return self.text(place, text, path)
        except RedactionError as error:
            return _note(error)

    # ---- inside ----

    def _by_hook(self, hook: Hook, place: Place, value: JsonValue, path: str) -> JsonValue:
        if getattr(self._present, "is_asked", False):  # the hook itself logs, or a library that it calls
            return "[not shown: it is of the redaction hook itself]"

        def leaf(one: JsonValue, path: str) -> JsonValue:
            if isinstance(one, str):
                one = self.masked(one)
            elif one is None or isinstance(one, bool):
                return one
            given = hook(one, place, path)  # type: ignore[arg-type]
            return given if given is None or isinstance(given, str | bool | int | float) else to_json(given)

        self._present.is_asked = True
        try:
            return _walked(leaf, value, path)
        except KeyboardInterrupt:  # Ctrl-C, in a command
            raise
        except RecursionError:
            raise RedactionError(_TOO_DEEP) from None
        except BaseException as error:  # noqa: BLE001 - of the project's own code, which may call sys.exit()
            kind = type(error).__name__
            raise RedactionError(f"the redaction hook of langgraph.json raised {with_article(kind)}") from None
        finally:
            self._present.is_asked = False

    def _has_secret(self, value: JsonValue) -> bool:
        """Whether one may be there."""
        if not self._secrets or value is None or isinstance(value, bool | int | float):
            return False
        try:
            written = pydantic_core.to_json(value)  # of a large value much faster than a walk
        except (ValueError, RecursionError):  # no JSON: half a character, or too deep
            return True
        return self._secrets.may_be_in(written)


def _walked(leaf: Callable[[JsonValue, str], JsonValue], value: JsonValue, path: str) -> JsonValue:
    if isinstance(value, dict):
        found: dict[str, JsonValue] = {}
        for key, one in value.items():
            name = _unused(_as_text(leaf(key, path)), found)
            found[name] = _walked(leaf, one, f"{path}.{key}" if path else key)
        return found
    if isinstance(value, list | tuple):
        return [_walked(leaf, one, f"{path}[{index}]") for index, one in enumerate(value)]
    return leaf(value, path)


def _unused(key: str, taken: Mapping[str, Any]) -> str:
    """A name for a value whose key was changed: no other value is lost for it."""
    name, number = key, 1
    while name in taken:
        number += 1
        name = f"{key} ({number})"
    return name


def _as_text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _note(error: RedactionError) -> str:
    return f"[not shown: {error}]"
