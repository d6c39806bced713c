"""A worker with the lowest versions that pyproject.toml allows.

``make test`` runs what turns on LangGraph most: that a finished node never runs again, answers, fencing, and a kill.
``COMPAT=all``, as ``make test-compat`` sets it, runs all that touches LangGraph, on SQLite.
"""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from devtools.compat import LOWEST_WORKER, environment

ROOT = Path(__file__).resolve().parents[2]
EXECUTION = "tests/unit/langgraph_worker/execution"
SHORT = (
    "tests/contract/checkpoints/test_checkpoints_private.py",
    "tests/contract/checkpoints/test_checkpoints_fencing.py",
    f"{EXECUTION}/test_runner_answers.py::test_the_questions_of_a_node_have_ids_of_their_own",
    f"{EXECUTION}/test_nested_resumes.py::test_what_a_child_has_finished_does_not_run_again",
    f"{EXECUTION}/test_nested_graphs.py::test_a_child_on_its_own_thread_answers_each_call",
    "tests/contract/memories/test_memories_crashes.py",
    "tests/reference/test_projects.py::test_answers_as_the_reference[sqlite-policies-handled]",
)
LONG = ("tests/contract/checkpoints", "tests/contract/memories", "tests/reference/test_projects.py", EXECUTION)

pytestmark = [pytest.mark.system, pytest.mark.timeout(1_800)]


def test_the_lock_has_the_lower_bound_of_each_direct_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", LOWEST_WORKER.read_text(), flags=re.MULTILINE))
    bounds: dict[str, Version] = {}
    for text in (*project["dependencies"], *project["optional-dependencies"]["worker"]):
        requirement = Requirement(text)
        [bound] = [Version(one.version) for one in requirement.specifier if one.operator == ">="]
        bounds[requirement.name] = max(bound, bounds.get(requirement.name, bound))
    assert {name: Version(locked[name]) for name in bounds} == bounds


def test_a_worker_with_the_lowest_versions_keeps_the_rules(wheel):
    python = environment(LOWEST_WORKER, wheel)
    suites = LONG if os.environ.get("COMPAT") else SHORT
    done = subprocess.run(
        [str(python), "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "-k", "sqlite", *suites],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
        timeout=1_700,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5_000:] + done.stderr[-2_000:]
