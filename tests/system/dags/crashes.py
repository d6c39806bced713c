"""DAGs whose tasks lose their process on purpose."""

from __future__ import annotations

import os
import signal
import threading
import time
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_langgraph.operators.langgraph import LangGraphTriggerOperator

INPUT = {"folder": "{{ dag_run.conf['folder'] }}", "name": "agent"}


class DiesBeforeItDefers(LangGraphTriggerOperator):
    """Its first try ends by SIGKILL once its request is out; the second asks when the file ``again`` is there."""

    def execute(self, context):
        self._is_first = context["ti"].try_number == 1
        while not self._is_first and not (Path(self.input["folder"]) / "again").exists():
            time.sleep(0.1)
        return super().execute(context)

    def _defer(self, *arguments):
        if self._is_first:
            os.kill(os.getpid(), signal.SIGKILL)
        super()._defer(*arguments)


class DiesInItsSlot(LangGraphTriggerOperator):
    """Its first try ends by SIGKILL while it waits in its slot: once the file ``die`` is there."""

    def execute(self, context):
        if context["ti"].try_number == 1:
            threading.Thread(target=self._die_when_asked, daemon=True).start()
        return super().execute(context)

    def _die_when_asked(self):
        while not (Path(self.input["folder"]) / "die").exists():
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGKILL)


RETRIED = {"retries": 1, "retry_delay": timedelta(seconds=1), "timeout": timedelta(minutes=10)}

with DAG("killed_before_it_defers"):
    DiesBeforeItDefers(task_id="agent", graph="witness", input=INPUT, defer_after=0, **RETRIED)

with DAG("killed_between_its_halves"):
    DiesBeforeItDefers(task_id="agent", graph="witness", input=INPUT, defer_after=1, **RETRIED)

with DAG("killed_in_its_slot"):
    DiesInItsSlot(task_id="agent", graph="witness", input=INPUT, defer_after=300, **RETRIED)
