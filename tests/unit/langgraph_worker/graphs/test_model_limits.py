"""What langgraph.json may say of the models that a project calls."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from langgraph_worker.domain.model_turns import ModelLimit
from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.manifest import Manifest, read_manifest
from langgraph_worker.graphs.model_limits import ModelLimits, model_limits

PATH = Path("/project/langgraph.json")


def read(folder: Path, **body: Any) -> Manifest:
    (folder / "langgraph.json").write_text(json.dumps({"graphs": {"g": "./g.py:graph"}, **body}))
    return read_manifest(folder / "langgraph.json")


def test_a_manifest_has_limits_or_none(tmp_path: Path) -> None:
    assert read(tmp_path).models == ModelLimits()
    limits = {
        "openai:big": {"requests_per_minute": 60, "tokens_per_minute": 2_000},
        "small": {"requests_per_minute": 5},
    }
    manifest = read(tmp_path, models=limits)
    assert manifest.notes == ()
    assert manifest.models.by_name == {"openai:big": ModelLimit(60, 2_000), "small": ModelLimit(5)}


@pytest.mark.parametrize(
    ("name", "provider", "answered", "meant"),
    [
        ("big", "openai", "big-2026", "openai:big-2026"),
        ("small", "openai", "small-2026", "small-2026"),
        ("far", "openai", "far", "azure:far"),
        ("other", "openai", "other-2026", None),
    ],
)
def test_a_limit_of_another_name_is_noticed(name: str, provider: str, answered: str, meant: str | None) -> None:
    limits = ModelLimits(dict.fromkeys(("openai:big-2026", "small-2026", "azure:far"), ModelLimit(1)))
    assert limits.of(name, provider) is None
    assert limits.meant(name, provider, answered) == meant


def test_a_model_s_own_provider_comes_first() -> None:
    limits = ModelLimits({"openai:big": ModelLimit(1), "big": ModelLimit(2)})
    assert limits.of("big", "openai") == ModelLimit(1)
    assert limits.of("big", "azure") == limits.of("big", None) == ModelLimit(2)
    assert limits.of("small", "openai") is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["big"], r"key 'models' must be an object with the names of models, such as \"openai:gpt-5\", not \['big'\]"),
        ({"big": 60}, "key 'models.big' must be an object with one or both of requests_per_minute, tokens_per_minute"),
        ({"big": {}}, "key 'models.big' must be an object"),
        ({"big": {"request_per_minute": 1}}, "has no key 'request_per_minute'. Did you mean 'requests_per_minute'"),
        ({"big": {"requests_per_minute": 0}}, "'requests_per_minute' must be a whole number above 0, not 0"),
        ({"big": {"tokens_per_minute": 1.5}}, "'tokens_per_minute' must be a whole number above 0, not 1.5"),
        ({"big": {"requests_per_minute": True}}, "must be a whole number above 0, not True"),
        ({"": {"requests_per_minute": 1}}, "a model's name has 1 to 512 characters"),
        ({" big": {"requests_per_minute": 1}}, "no blanks around it"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(value: Any, text: str) -> None:
    with pytest.raises(GraphLoadError, match=f"^{PATH}: .*{text}"):
        model_limits(PATH, value)
