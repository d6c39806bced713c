"""Sphinx configuration: pages in Markdown, the reference from docstrings, the tables from the code they describe."""

from __future__ import annotations

import os
import sys
import tempfile
from importlib.metadata import version as version_of
from pathlib import Path

# Importing Airflow makes a folder and a configuration file; not in the home directory of the user who builds.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="docs-airflow-"))
DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent)]  # the second for devtools, which is no part of the package

project = "airflow-provider-langgraph"
release = version = version_of(project)
author = "The airflow-provider-langgraph authors"
project_copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc", "code_tables", "plain_pages", "plain_types"]
exclude_patterns = ["_build"]
smartquotes = False  # tables quote JSON
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_title = "Airflow × LangGraph over Kafka"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": False}
nitpicky = True
# Of the overloads of langgraph_task: type variables, and a protocol of Airflow that only type checkers import.
nitpick_ignore = [("py:class", name) for name in ("FParams", "FReturn", "Task")]
