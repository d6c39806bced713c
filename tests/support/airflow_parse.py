"""DAG files, read as Airflow's DAG processor reads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

_PARSE = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dag_folder=sys.argv[1], bundle_path=sys.argv[1], bundle_name="examples", load_op_links=False)
edges = {
    name: {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks} for name, dag in bag.dags.items()
}
loaded = [name for name in ("confluent_kafka", "langgraph") if name in sys.modules]
print(json.dumps({"errors": bag.import_errors, "dags": edges, "loaded": loaded}))
"""


def parse_dags(folder: Path, home: Path) -> dict[str, Any]:
    """What Airflow finds in a folder, read in a process of its own: ``errors``, ``dags`` with their tasks, ``loaded``.

    :param home: an Airflow home for it.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PARSE, str(folder)],
        env={**os.environ, "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "false"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
