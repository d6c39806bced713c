"""Pages that a code host shows as plain Markdown, and Sphinx with what only it can make.

``<!-- toctree -->`` becomes a hidden table of contents of the pages that the page links to. What stands in
``<!-- eval-rst`` … ``-->`` is reStructuredText, such as a table that is written from the code. A code host draws the
source of a picture, a ``mermaid`` block; Sphinx shows it as text.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx

_TOCTREE = "<!-- toctree -->"
_LINKED = re.compile(r"^- \[[^\]]+\]\(([\w/-]+)\.md\)", re.MULTILINE)
_RST = re.compile(r"^<!-- eval-rst\n(.*?)^-->$", re.MULTILINE | re.DOTALL)


def complete(app: Sphinx, page: str, source: list[str]) -> None:
    """Put in what the page's comments ask for."""
    del app, page
    text = source[0]
    pages = "\n".join(_LINKED.findall(text))
    text = text.replace("```mermaid\n", "```text\n")
    text = text.replace(_TOCTREE, f"```{{toctree}}\n:hidden:\n\n{pages}\n```")
    source[0] = _RST.sub(lambda found: f"```{{eval-rst}}\n{found[1]}```", text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the listener."""
    app.connect("source-read", complete)
    return {"parallel_read_safe": True}
