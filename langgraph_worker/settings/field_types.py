"""The types of the worker's settings, and how a text becomes one of them."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode


def _from_json_object(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise ValueError(f"is not JSON ({error})") from None
    if not isinstance(parsed, dict):
        raise ValueError("must be a JSON object")
    return parsed


def _from_comma_list(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


Topic = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Days = Annotated[float, Field(ge=0, le=36_500, allow_inf_nan=False)]
CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_from_comma_list)]
GraphCounts = Annotated[dict[str, Annotated[int, Field(ge=1)]], NoDecode, BeforeValidator(_from_json_object)]
KafkaConfig = Annotated[dict[str, str | int | float | bool], NoDecode, BeforeValidator(_from_json_object)]
