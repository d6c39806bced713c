"""What of this project's data may leave the store."""

from __future__ import annotations

import logging
import re
from pathlib import Path

IBAN = re.compile(r"DE\d{20}")


def redact(value: str | int | float, place: str, path: str) -> str | int | float | None:
    logging.getLogger("privacy").debug("looked at %s", path)
    if path.endswith(".pin"):
        return None
    if not isinstance(value, str):
        return value
    if "breaks the hook" in value and place == "result" and not Path("mended").exists():
        raise ValueError(f"what is {value}?")
    return IBAN.sub("[iban]", value)
