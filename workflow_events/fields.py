"""The types of fields that every message uses, and the base of all wire models."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field


class FieldError(ValueError):
    """A rule about several fields is broken, so that pydantic cannot know which of them to name.

    :param field: of the model that raises it.
    :param reason: the rule, and the remedy.
    """

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}")


def _naive_is_utc(value: Any) -> Any:
    # The events people write by hand carry `datetime.utcnow().isoformat()`, which has no zone.
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return value
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value


EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def _to_utc(value: datetime) -> datetime:
    # What lies near the ends of the calendar has no form in another time zone, and no sum with a duration.
    if not EARLIEST <= value <= LATEST:
        raise ValueError(
            f"an instant must lie between {EARLIEST:%Y-%m-%d} and {LATEST:%Y-%m-%d} in UTC. Correct it, or leave it out"
        )
    return value.astimezone(UTC)


UtcDatetime = Annotated[AwareDatetime, BeforeValidator(_naive_is_utc), AfterValidator(_to_utc)]
"""An instant from :data:`EARLIEST` to :data:`LATEST`, always in UTC. Input without a time zone counts as UTC."""

_NO_NUL = r"^[^\x00]*$"

Name = Annotated[str, Field(min_length=1, max_length=512, pattern=_NO_NUL)]
"""An identifier chosen by a person or by Airflow: 1 to 512 characters, none of them NUL, which no database stores."""

MaybeName = Annotated[str, Field(max_length=512, pattern=_NO_NUL)]
"""A :data:`Name`, or nothing: ``""``."""


def _without_nul(value: str) -> str:
    return value.replace("\0", "\ufffd")


Who = Annotated[str, Field(max_length=512), AfterValidator(_without_nul)]
"""A person or a program, as free text that is only shown. NUL, which no database stores, becomes a visible mark."""

Reason = Annotated[str, Field(max_length=2048), AfterValidator(_without_nul)]
"""A reason, as free text that is only shown. NUL becomes a visible mark here, too."""

Count = Annotated[int, Field(ge=0, le=2_147_483_647)]
"""A count that every database can store."""


Priority = Annotated[int, Field(ge=-2_147_483_648, le=2_147_483_647)]
"""A priority as Airflow has them, which its database can store: the higher, the sooner."""


def utcnow() -> datetime:
    """The current instant, in UTC."""
    return datetime.now(UTC)


class WireModel(BaseModel):
    """Base of all wire models: unknown fields are ignored, instances are immutable."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)
