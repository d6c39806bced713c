"""The locks say what they are for, and the lowest one is as low as pyproject.toml promises."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from devtools.compat import RELEASES

ROOT = Path(__file__).resolve().parents[2]
BY_NAME = {release.name: release for release in RELEASES}


def locked(name: str) -> dict[str, Version]:
    """Package to version."""
    lines = BY_NAME[name].lock.read_text().splitlines()
    pins = [re.match(r"([a-z0-9.-]+)==(\S+)", line) for line in lines]
    return {pin[1]: Version(pin[2]) for pin in pins if pin}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_lock_pins_the_airflow_that_it_is_for(name):
    assert str(locked(name)["apache-airflow"]) == BY_NAME[name].airflow
    assert "://" not in BY_NAME[name].lock.read_text()


def test_the_lowest_lock_has_the_lower_bound_of_each_direct_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lowest = locked("lowest")
    for text in (*project["dependencies"], *project["optional-dependencies"]["airflow"]):
        requirement = Requirement(text)
        [bound] = [Version(one.version) for one in requirement.specifier if one.operator == ">="]
        # The patch may be higher, where the lowest one was withdrawn.
        assert lowest[requirement.name].release[:2] == bound.release[:2], text
