"""Ids of attempts, as Airflow draws them: uuid7."""

from __future__ import annotations

import secrets
import time
from uuid import UUID


def ti_id(milliseconds: int, salt: int = 0) -> UUID:
    """A uuid7 as Airflow draws one at that time."""
    return UUID(int=(milliseconds << 80) | (7 << 76) | (2 << 62) | salt)


def new_ti_id() -> UUID:
    """A uuid7 of now, which no other call gives."""
    return ti_id(time.time_ns() // 1_000_000, secrets.randbits(62))
