"""A process whose loop hangs ends, whatever holds it up."""

from __future__ import annotations

import subprocess
import sys

from langgraph_worker.execution import loop_watch

_HANGS_IN_ITS_LOG = """
import logging, threading
from langgraph_worker.execution import loop_watch
from langgraph_worker.execution.held_leases import HeldLeases

loop_watch.LINE_SECONDS = loop_watch._LAST_WORDS_SECONDS = 0.1
logging.basicConfig()
watch = loop_watch.LoopWatch(HeldLeases(60.0), 60.0, 0.5, 0.05, loop_watch.end_process)
threading.Thread(target=watch.run, args=(threading.Event(),), daemon=True).start()
while True:
    logging.error("x" * 1000)  # nobody reads it: the main thread, which is the loop's, stays in here
"""


def test_a_log_that_nobody_reads_keeps_no_hanging_process_alive() -> None:
    process = subprocess.Popen([sys.executable, "-c", _HANGS_IN_ITS_LOG], stderr=subprocess.PIPE)
    try:
        assert process.wait(15) == loop_watch._EXIT_CODE_HUNG
    finally:
        process.kill()
        process.communicate()
