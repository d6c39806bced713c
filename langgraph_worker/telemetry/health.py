"""How a worker is: what its health port answers.

The event loop and the probe write it, the port's threads read it. So the port answers while the loop hangs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Phase = Literal["starting", "joining", "ready", "draining"]
"""``joining``: the worker waits for the control topic, and for its partitions. ``draining``: it stops."""

Part = Literal["broker", "store"]

SILENT_SECONDS = 5.0
"""A loop that gives no sign of life for so long does not live. It gives one each second."""

STALE_SECONDS = 30.0
"""A part that has not answered for so long is not reachable, also if nothing has failed: the answer may never come."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer of the port.

    :param is_good: whether the status is 200; else it is 503.
    :param body: JSON.
    """

    is_good: bool
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Trouble:
    """Why a part cannot be asked.

    :param text: the newest error.
    :param first: the first one since it answered last.
    :param since: when that came.
    """

    text: str
    first: str
    since: float


class Health:
    """The state of one worker.

    :param hang_seconds: a loop that is silent for so long ends its process, if the process can still do that.
    :param now: seconds of a monotonic clock.
    """

    def __init__(self, hang_seconds: float, now: Callable[[], float] = time.monotonic) -> None:
        self._hang_seconds = hang_seconds
        self._now = now
        self._beat_at = now()
        self._phase: Phase = "starting"
        self._answered_at: dict[Part, float] = {}
        self._troubles: dict[Part, _Trouble] = {}

    # ---- the worker reports ----

    def beat(self) -> None:
        """The event loop is alive."""
        self._beat_at = self._now()

    def enter(self, phase: Phase) -> None:
        """The worker has come to this phase. One that stops stays stopping."""
        if self._phase != "draining":
            self._phase = phase

    def answered(self, part: Part) -> None:
        """A part has answered."""
        self._answered_at[part] = self._now()
        self._troubles.pop(part, None)

    def failed(self, part: Part, trouble: str) -> None:
        """A part could not be asked.

        :param trouble: why, for a person.
        """
        before = self._troubles.get(part)
        self._troubles[part] = (
            _Trouble(trouble, before.first, before.since) if before else _Trouble(trouble, trouble, self._now())
        )

    # ---- the port asks ----

    @property
    def silent_seconds(self) -> float:
        """How long the event loop has given no sign of life."""
        return max(0.0, self._now() - self._beat_at)

    def is_reachable(self, part: Part) -> bool:
        """Whether a part answered when it was last asked, and not long ago."""
        at = self._answered_at.get(part)
        return part not in self._troubles and at is not None and self._now() - at < STALE_SECONDS

    def alive(self) -> Verdict:
        """Whether the process should go on. A supervisor that restarts it should ask this, and nothing else: a worker
        whose broker or store is away waits for them, and a restart would cost the steps that are under way.
        """
        return Verdict(self.silent_seconds < self._hang_seconds, {"loop": self._loop()})

    def healthy(self) -> Verdict:
        """Whether all is well: the loop lives, broker and store are reachable."""
        parts = {part: self._part(part) for part in ("broker", "store")}
        is_good = self.silent_seconds < SILENT_SECONDS and all(part["reachable"] for part in parts.values())
        return Verdict(is_good, {"phase": self._phase, "loop": self._loop(), **parts})

    def ready(self) -> Verdict:
        """Whether it takes work: it has its partitions, and does not stop."""
        is_good = self._phase == "ready" and self.silent_seconds < SILENT_SECONDS
        return Verdict(is_good, {"phase": self._phase, "loop": self._loop()})

    def _loop(self) -> dict[str, Any]:
        silent = self.silent_seconds
        return {"alive": silent < SILENT_SECONDS, "silent_seconds": round(silent, 1)}

    def _part(self, part: Part) -> dict[str, Any]:
        found: dict[str, Any] = {"reachable": self.is_reachable(part)}
        at = self._answered_at.get(part)
        found["answered_seconds_ago"] = None if at is None else round(self._now() - at, 1)
        if part in self._troubles:
            trouble = self._troubles[part]
            found["trouble"] = trouble.text
            found["since_seconds"] = round(self._now() - trouble.since, 1)
            if trouble.first != trouble.text:
                found["first_trouble"] = trouble.first  # often the cause, and the later ones what follows from it
        return found
