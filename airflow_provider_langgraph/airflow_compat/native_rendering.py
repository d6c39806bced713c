"""Names in DAGs with ``render_template_as_native_obj``, where Airflow takes rendered text for a literal of Python."""

from __future__ import annotations

from collections.abc import Mapping
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
