"""What an author requires of an agent's result: a type against which pydantic validates it before a task returns it."""

from __future__ import annotations

import pkgutil
from typing import Any

import pydantic_core
from pydantic import TypeAdapter, ValidationError

from airflow_provider_langgraph.exceptions import OutputSchemaError, SettingsError
from workflow_events.log_words import with_article
from workflow_events.plain_text import one_line
from workflow_events.results import WorkflowResultEvent

_MOST_FIELDS = 5
_REMEDY = (
    "Give a pydantic model class, another type of which pydantic makes a validator, or the dotted path of one, such as "
    "'my_package.models.Report'"
)


def check_output_schema(schema: Any) -> None:
    """Check an operator's ``output_schema`` when the DAG file is parsed. What a path names is imported later: a DAG
    file must be cheap to parse.

    :raises SettingsError: it is no type that pydantic can validate against, or no path.
    """
    if isinstance(schema, str):
        _require_path(schema)
    elif schema is not None:
        OutputSchema(schema)


class OutputSchema:
    """A validator of results.

    :param schema: a pydantic model class, or another type of which pydantic makes a validator.
    :raises SettingsError: pydantic makes none of it.
    """

    def __init__(self, schema: Any) -> None:
        is_class = isinstance(schema, type) and not hasattr(schema, "__origin__")
        self._name = schema.__qualname__ if is_class else str(schema)
        try:
            if not isinstance(schema, type) and not _is_type_form(schema):
                raise TypeError(f"{with_article(type(schema).__qualname__)} is no type")
            self._adapter: TypeAdapter[Any] = TypeAdapter(schema)
        except Exception as error:  # pydantic has an exception for each kind of wrong type
            reason = one_line(str(error).partition("\n")[0]).rstrip(".")
            raise SettingsError(f"output_schema: it cannot be used: {reason}. {_REMEDY}") from error

    @classmethod
    def of(cls, schema: Any) -> OutputSchema | None:
        """The validator of an operator's ``output_schema``; None if it has none.

        :raises SettingsError: the path leads to nothing, or to no type.
        """
        if schema is None:
            return None
        return cls(_imported(schema) if isinstance(schema, str) else schema)

    def validated(self, result: WorkflowResultEvent) -> Any:
        """The result of a success as the type's JSON: defaults filled in, fields that it does not have left out.

        :raises OutputSchemaError: the result does not fit; names the field.
        """
        text = pydantic_core.to_json(result.result, inf_nan_mode="constants")
        try:
            return self._adapter.dump_python(self._adapter.validate_json(text), mode="json")
        except ValidationError as error:
            why = _wrong_fields(error)
        except Exception as error:  # noqa: BLE001 - an author's validator, or serializer, may raise anything
            why = one_line(f"{type(error).__name__}: {error}")
        raise OutputSchemaError(
            f"the agent's result does not fit output_schema {self._name}: {why}. Correct the graph's output, or the "
            f"schema, then clear the task [correlation id {result.correlation_id}]",
            result,
        )


def _is_type_form(schema: Any) -> bool:
    """Whether this is a form of ``typing``, such as ``list[int]``, ``int | None`` or ``Annotated[int, Gt(0)]``."""
    return hasattr(schema, "__origin__") or hasattr(schema, "__args__") or hasattr(schema, "__supertype__")


def _require_path(path: str) -> None:
    parts = path.replace(":", ".").split(".")
    if len(parts) < 2 or not all(part.isidentifier() for part in parts):
        raise SettingsError(f"output_schema: {path!r} is no dotted path of a class. {_REMEDY}")


def _imported(path: str) -> Any:
    _require_path(path)
    try:
        return pkgutil.resolve_name(path)
    except Exception as error:  # a module may raise anything as it is imported
        raise SettingsError(
            f"output_schema: {path!r} cannot be imported: {type(error).__name__}: {error}. The module must be on the "
            "import path of Airflow's workers, as the DAG files' own modules are"
        ) from error


def _wrong_fields(error: ValidationError) -> str:
    """The first wrong fields, with their places and reasons; no value of theirs, which may be secret."""
    wrong = error.errors(include_url=False, include_input=False, include_context=False)
    named = [f"{_place(one['loc'])}: {one_line(one['msg'])}" for one in wrong[:_MOST_FIELDS]]
    more = len(wrong) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more else "")


def _place(location: tuple[int | str, ...]) -> str:
    return one_line(".".join(str(name) for name in location)) or "the result"
