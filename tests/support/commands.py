"""The worker's commands, called in the test's own process, on small projects."""

from __future__ import annotations

import json
import sys
import textwrap
import uuid
from pathlib import Path
from typing import Any

import pytest

from langgraph_worker.cli.command_line import find_command, read_command_line


class Project:
    """A project in a folder, whose module has a name that no other test has."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._manifest = folder / "langgraph.json"
        patch.setattr(sys, "path", [*sys.path])  # what the manifest adds goes with the test
        patch.chdir(folder)

    def write(self, code: str, *graphs: str, **manifest: Any) -> None:
        """Its one module, with these variables as graphs."""
        file = f"project_{uuid.uuid4().hex}.py"
        (self._folder / file).write_text(textwrap.dedent(code))
        entries = {name: f"./{file}:{name}" for name in graphs}
        self._manifest.write_text(json.dumps({"dependencies": ["."], "graphs": entries, **manifest}))

    def add(self, graph: str, code: str, **manifest: Any) -> None:
        """Another graph, in a module of its own, and further keys of the manifest."""
        file = f"project_{uuid.uuid4().hex}.py"
        (self._folder / file).write_text(textwrap.dedent(code))
        body = json.loads(self._manifest.read_text())
        body["graphs"][graph] = f"./{file}:{graph}"
        self._manifest.write_text(json.dumps({**body, **manifest}))

    def call(self, *words: str) -> int:
        """Run one command of the worker; its exit code."""
        flags, arguments = read_command_line([*words, "--langgraph-json", str(self._manifest)])
        return find_command(arguments.command)(flags, arguments)
