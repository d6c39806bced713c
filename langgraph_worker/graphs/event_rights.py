"""What an entry of ``langgraph.json`` lets events set for its graph, beyond what every event may (rule 13).

The entry's key ``events``, which only this worker reads::

    {"graphs": {"desk": {"path": "./desk.py:graph", "events": {"configurable": ["user_id", "base_url"]}}}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

_KEYS = ("configurable", "overwrite", "command", "fork")


@dataclass(frozen=True, slots=True)
class EventRights:
    """The rights of events at one graph.

    :param configurable: the names that ``context`` and ``config.configurable`` may have. ``any``: all but those that
        move power, which are endpoints, keys, providers and models. ``declared``: of these, the ones that the graph's
        own context schema has. A set: exactly these, whatever they move.
    :param overwrite: whether ``payload.data`` may replace what a reducer has gathered, or remove messages.
    :param command: whether ``payload.command`` may change a state and choose the next node, and so skip others.
    :param fork: whether a run may begin with a checkpoint of another one: nodes run again behind it, also such as had
        a person's approval, and ``payload.data`` may change the state there.
    """

    configurable: frozenset[str] | Literal["any", "declared"] = "any"
    overwrite: bool = False
    command: bool = False
    fork: bool = False

    @classmethod
    def from_entry(cls, value: Any) -> EventRights:
        """The rights that a manifest's entry grants.

        :raises ValueError: what is wrong, and what is right.
        """
        if not isinstance(value, Mapping) or set(value) - set(_KEYS):
            raise ValueError(f"key 'events' must be an object with no other keys than {', '.join(_KEYS)}")
        for key in ("overwrite", "command", "fork"):
            if not isinstance(value.get(key, False), bool):
                raise ValueError(f"key 'events.{key}' must be true or false")
        names = value.get("configurable", "any")
        if names not in ("any", "declared"):
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise ValueError('key \'events.configurable\' must be "any", "declared" or a list of names')
            names = frozenset(names)
        return cls(names, value.get("overwrite", False), value.get("command", False), value.get("fork", False))
