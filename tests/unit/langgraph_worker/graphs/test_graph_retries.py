"""The key ``retries`` of a graph's entry in ``langgraph.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from langgraph_worker.domain.retry_policy import DEFAULT_RULES, ErrorClass, RetryRule, RetryRules
from langgraph_worker.errors import GraphLoadError
from langgraph_worker.graphs.graph_spec import graph_spec


def read(value: Any) -> RetryRules:
    return graph_spec(Path("langgraph.json"), "desk", {"path": "desk:graph", "retries": value}).retries


def test_an_entry_without_it_has_the_defaults():
    assert graph_spec(Path("langgraph.json"), "desk", "desk:graph").retries == RetryRules(DEFAULT_RULES)
    assert read(None) == RetryRules(DEFAULT_RULES)


def test_false_repeats_nothing():
    assert read(False) == RetryRules({})


def test_a_class_that_is_not_named_keeps_its_default():
    found = read({"connection": 0, "rate_limit": {"times": 8, "wait_seconds": 10}})
    assert found.rules[ErrorClass.CONNECTION].times == 0
    assert found.rules[ErrorClass.RATE_LIMIT] == RetryRule(8, 10.0, 120.0)
    assert found.rules[ErrorClass.TIMEOUT] == DEFAULT_RULES[ErrorClass.TIMEOUT]


def test_a_wait_that_is_longer_than_the_longest_by_default_is_the_longest():
    assert read({"timeout": {"wait_seconds": 600}}).rules[ErrorClass.TIMEOUT] == RetryRule(3, 600.0, 600.0, 0.75)


def test_a_model_that_takes_more():
    found = read({"context_length": {"model": "llama3.1:70b"}})
    assert found == RetryRules(DEFAULT_RULES, "llama3.1:70b")
    assert ErrorClass.CONTEXT_LENGTH not in read({"context_length": 0}).rules


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "key 'retries' must be false, or an object with keys among rate_limit, timeout, connection, "),
        (3, "key 'retries' must be false"),
        ({"ratelimit": 1}, "key 'retries' has no key 'ratelimit'. Did you mean 'rate_limit'? It may have"),
        ({"final": 1}, "key 'retries' has no key 'final'"),
        ({"timeout": -1}, "key 'retries.timeout' must be a number of times from 0 to 100, not -1"),
        ({"timeout": True}, "key 'retries.timeout' must be a number of times from 0 to 100, not True"),
        ({"timeout": 1.5}, "not 1.5"),
        ({"timeout": None}, "not None"),
        ({"timeout": {"times": "3"}}, "key 'retries.timeout.times' must be a number of times from 0 to 100, not '3'"),
        ({"timeout": {"time": 3}}, "key 'retries.timeout' has no key 'time'. Did you mean 'times'?"),
        ({"timeout": {"step_factor": 2}}, "key 'retries.timeout.step_factor' must be a number from 0.1 to 1, not 2"),
        ({"connection": {"step_factor": 1}}, "key 'retries.connection' has no key 'step_factor'"),
        (
            {"rate_limit": {"wait_seconds": 0}},
            "key 'retries.rate_limit.wait_seconds' must be a number of seconds above",
        ),
        ({"rate_limit": {"wait_seconds": float("inf")}}, "up to 86,400, not inf"),
        (
            {"rate_limit": {"wait_seconds": 10, "max_wait_seconds": 5}},
            "key 'retries.rate_limit.max_wait_seconds' must not be less than wait_seconds, which is 10, not 5",
        ),
        ({"context_length": 1}, "key 'retries.context_length' must be {\"model\": the name of a model"),
        ({"context_length": {"model": ""}}, "key 'retries.context_length' must be"),
        ({"context_length": {"model": "big", "times": 2}}, "key 'retries.context_length' must be"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_right(value, text):
    with pytest.raises(GraphLoadError) as caught:
        read(value)
    assert str(caught.value).startswith("langgraph.json: graph 'desk': ")
    assert text in str(caught.value)
