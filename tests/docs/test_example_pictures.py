"""The page with the pictures of the example graphs is what the command prints today."""

from __future__ import annotations

import pytest

from langgraph_worker.cli import main
from tests.docs.snippets import ROOT

PAGE = ROOT / "docs" / "reference" / "example-graphs.md"


@pytest.mark.timeout(60)  # it imports LangGraph and the example graphs
def test_the_page_shows_the_graphs_as_they_are(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    [command] = [line for line in PAGE.read_text().splitlines() if line.startswith("$ langgraph-worker ")]
    assert main(command.split()[2:]) == 0
    shown = PAGE.read_text()
    assert shown[shown.index("## ") :] == capsys.readouterr().out, "write the command's output into the page again"
