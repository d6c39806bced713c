"""The settings as a person sees them: in the environment, as flags, in the documentation."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic.fields import FieldInfo

from langgraph_worker.settings.model import WorkerSettings, env_name, flag_name


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as a person sees it: in the environment, as a flag, in the documentation.

    :param flag: empty if there is none: the setting is a secret.
    :param default: empty if there is none.
    """

    field: str
    env: str
    flag: str
    description: str
    default: str
    secret: bool
    boolean: bool


def documentation() -> tuple[Setting, ...]:
    """Every setting, in the order of the model."""
    rows = []
    for name, field in WorkerSettings.model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        secret = bool(extra.get("secret"))
        rows.append(
            Setting(
                field=name,
                env=env_name(name),
                flag="" if secret else flag_name(name),
                description=field.description or "",
                default=_default_in_words(field),
                secret=secret,
                boolean=field.annotation is bool,
            )
        )
    return tuple(rows)


def _default_in_words(field: FieldInfo) -> str:
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "default_in_words" in extra:
        return str(extra["default_in_words"])
    return "" if field.default_factory or field.default in (None, ()) else str(field.default)
