"""``langgraph_sdk.get_client()`` without a URL: the client of the server in whose process a graph runs. Here is none.

LangGraph's SDK takes the server's app from the module ``langgraph_api.server``. Without that module each call of such a
client raises ``TypeError: 'NoneType' object is not callable``. So the worker puts a module of that name in place, whose
app raises a clear error. ``import langgraph_api`` fails as it did.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from langgraph_worker.errors import NoServerError

_SERVER = "langgraph_api.server"


def refuse_server_clients() -> None:
    """Let clients without a URL raise :class:`~langgraph_worker.errors.NoServerError` at each call."""
    module = ModuleType(_SERVER, __doc__)
    module.app = _refuse  # type: ignore[attr-defined]
    # Also where the server is installed: its app needs settings that only its own process has.
    sys.modules[_SERVER] = module


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    raise NoServerError(
        "get_client() without a URL means the LangGraph server of this process, and a worker is no server. Name one: "
        'get_client(url="https://..."). To run another graph of this project, import it and call it'
    )
