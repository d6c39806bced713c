"""How children are stopped."""

from __future__ import annotations

import os
import sys

from devtools import processes
from devtools.processes import Child, stop_all, wait_until

SLOW_TO_LEAVE = """
import signal, threading
signal.signal(signal.SIGTERM, lambda *_: print("closed all", flush=True))
print("ready", flush=True)
threading.Event().wait()
"""


def test_a_child_that_has_written_its_last_words_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "STOP_SECONDS", float("inf"))
    command = [sys.executable, "-c", SLOW_TO_LEAVE]
    child = Child("part", command, log=tmp_path / "log", env=dict(os.environ), last_words="closed all")
    wait_until("it to be ready", lambda: "ready" in child.output(), timeout=15)
    assert not child.has_written_last_words
    stop_all([child], at_last_words=True)
    assert child.returncode == -9
    assert "closed all" in child.output()
