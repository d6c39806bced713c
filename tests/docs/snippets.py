"""The fenced blocks of the documentation's pages."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]

_FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"^cat > (\S+) <<'EOF'\n(.*?)^EOF$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Snippet:
    """One block.

    :param line: of its first line of text, from 1.
    """

    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def snippets(*languages: str) -> list[Snippet]:
    """The blocks in these languages, page after page."""
    return [snippet for page in PAGES for snippet in snippets_of(page) if snippet.language in languages]


def snippets_of(page: Path) -> list[Snippet]:
    text = page.read_text()
    return [
        Snippet(page, text[: found.start(3)].count("\n") + 1, found[2], textwrap.dedent(found[3]))
        for found in _FENCE.finditer(text)
    ]


def files_of(page: Path) -> dict[str, str]:
    """The files that a page's shell commands write, by their path."""
    return {
        path: text
        for snippet in snippets_of(page)
        if snippet.language == "bash"
        for path, text in _HEREDOC.findall(snippet.text)
    }
