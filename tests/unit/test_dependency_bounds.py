"""The versions that pyproject.toml allows: from what is tested to the next major of what would break with it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DEPENDENCIES = {text: Requirement(text) for text in (*PROJECT["dependencies"], *EXTRAS["airflow"], *EXTRAS["worker"])}

WITHOUT = {
    "apache-airflow-providers-apache-kafka": "a major drops old Airflows; Airflow's constraints choose it",
    "apache-airflow-providers-common-compat": "a major drops old Airflows; Airflow's constraints choose it",
    "filelock": "one class is used",
    "packaging": "its majors are years",
    "python-dotenv": "one function is used",
}


@pytest.mark.parametrize("text", DEPENDENCIES)
def test_a_dependency_is_bounded_on_both_sides(text):
    requirement = DEPENDENCIES[text]
    bounds = {one.operator: Version(one.version) for one in requirement.specifier}
    if requirement.name in WITHOUT:
        assert set(bounds) == {">="}
    else:
        assert set(bounds) == {">=", "<"}
        assert bounds["<"].release == (bounds[">="].major + 1,)


def test_the_reasons_are_of_dependencies():
    assert set(WITHOUT) <= {requirement.name for requirement in DEPENDENCIES.values()}
