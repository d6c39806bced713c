"""What a person answers, and which questions at a time: a question's text alone decides."""

from __future__ import annotations

import zlib
from collections.abc import Sequence


def answer_to(question: str) -> str:
    """The answer, which shows what it answers."""
    return f"to {question}"


def to_answer(questions: Sequence[str], turn: int) -> list[str]:
    """Of what is asked, what is answered this time: at least one."""
    chosen = [one for one in questions if zlib.crc32(f"{turn} {one}".encode()) % 3]
    return chosen or [min(questions)]
