"""Names that Airflow renders: also in DAGs with ``render_template_as_native_obj``, where it takes rendered text for a
literal of Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, Context


def name_as_text(operator: BaseOperator, template: Any, rendered: Any, context: Context) -> Any:
    """What a name's template says as text. Its native form may be another name: of ``12_34`` the number 1234.

    :param template: as the author wrote it; a mapping has several.
    :param rendered: what Airflow made of it; None and a mapping stay as they are.
    """
    if isinstance(template, Mapping) and isinstance(rendered, Mapping):
        return {key: name_as_text(operator, template.get(key), value, context) for key, value in rendered.items()}
    if not isinstance(template, str) or rendered is None or isinstance(rendered, str | Mapping):
        return rendered
    dag = operator.get_dag()
    if dag is None:
        return rendered
    return dag.get_template_env(force_sandboxed=True).from_string(template).render(context)


def names_that_lack_a_value(
    operator: BaseOperator, template: Any, rendered: Any, context: Context, place: str
) -> tuple[str, ...]:
    """Where a name has the word ``None`` for a value that is None. One that is None itself lacks nothing.

    :param template: as for :func:`name_as_text`, and so is what it ``rendered``.
    :param place: what the author wrote for the name; a mapping's keys follow it.
    """
    if isinstance(template, Mapping) and isinstance(rendered, Mapping):
        found = [
            names_that_lack_a_value(operator, template.get(key), value, context, f"{place}.{key}")
            for key, value in rendered.items()
        ]
        return tuple(one for some in found for one in some)
    return (place,) if isinstance(rendered, str) and renders_a_none(operator, template, context) else ()


def renders_a_none(operator: BaseOperator, template: Any, context: Context) -> bool:
    """Whether an expression of a template that can be rendered renders to None, which stands in its text as a word."""
    return any(value is None for value in _expressions(operator, template, context))


def lost_values(
    operator: BaseOperator, template: Any, rendered: Any, context: Context, place: str
) -> Iterator[tuple[str, Any]]:
    """The values that a template has made a text of another meaning: None, and alone in it also False, True and what is
    empty. A text that is not empty counts as true, whatever its words are.

    :param template: as the author wrote it; mappings and lists have several.
    :param rendered: what Airflow made of it.
    :param place: of the template; the place inside is added behind it.
    :returns: each with its place.
    """
    if isinstance(template, Mapping) and isinstance(rendered, Mapping):
        for name in template.keys() & rendered.keys():
            yield from lost_values(operator, template[name], rendered[name], context, f"{place}.{name}")
    elif isinstance(template, list | tuple) and isinstance(rendered, list | tuple):
        for number, (one, value) in enumerate(zip(template, rendered, strict=False)):
            yield from lost_values(operator, one, value, context, f"{place}.{number}")
    elif isinstance(template, str) and isinstance(rendered, str):
        values = _expressions(operator, template, context)
        for value in values:
            is_alone = len(values) == 1 and rendered.strip() == str(value) != ""
            if value is None or (is_alone and not isinstance(value, str) and (value is True or not value)):
                yield place, value


def _expressions(operator: BaseOperator, template: Any, context: Context) -> list[Any]:
    """The values of the expressions in a template that can be rendered."""
    dag = operator.get_dag()
    if dag is None or not isinstance(template, str) or "{{" not in template:
        return []
    found: list[Any] = []

    def note(value: Any) -> Any:
        found.append(value)
        return value

    dag.get_template_env(force_sandboxed=True).overlay(finalize=note).from_string(template).render(context)
    return found
