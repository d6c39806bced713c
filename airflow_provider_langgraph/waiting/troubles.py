"""Why results cannot be had just now."""

from __future__ import annotations


class Troubles(dict[str, str]):
    """Reasons by what is affected. Written by the thread that owns the consumer, read by any."""

    def note(self, what: str, why: str | None) -> None:
        """Keep a reason; None: it is over."""
        if why is None:
            self.pop(what, None)
        else:
            self[what] = why

    @property
    def first(self) -> str | None:
        """The reason that has lasted longest; None if there is none."""
        return next(iter(list(self.values())), None)
