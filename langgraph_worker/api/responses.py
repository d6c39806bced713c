"""Answers that may be large."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi import Response
from pydantic import BaseModel


async def whole(build: Callable[[], BaseModel]) -> Response:
    """The answer, built and written as JSON in a thread: megabytes would stop the event loop, and all other answers."""
    return Response(await asyncio.to_thread(lambda: build().model_dump_json()), media_type="application/json")
