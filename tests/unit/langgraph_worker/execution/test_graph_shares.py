"""Shares of a worker's slots: graphs with a limit have their own, all others one together."""

from __future__ import annotations

from langgraph_worker.execution.graph_shares import GraphShare, GraphShares


def test_graphs_without_a_limit_share_all_slots():
    shares = GraphShares(["a", "b"], 5, {})
    assert list(shares.next_turn()) == [GraphShare(frozenset({"a", "b"}), 5)]


def test_a_limit_is_a_share_of_its_own_and_other_workers_graphs_have_none():
    shares = GraphShares(["a", "b", "c"], 5, {"b": 1, "elsewhere": 2})
    assert set(shares.next_turn()) == {GraphShare(frozenset({"b"}), 1), GraphShare(frozenset({"a", "c"}), 5)}


def test_each_share_comes_first_in_its_turn():
    shares = GraphShares(["a", "b", "c"], 5, {"a": 1, "b": 2})
    firsts = [next(shares.next_turn()).slots for _ in range(6)]
    assert firsts[:3] == firsts[3:]
    assert sorted(firsts[:3]) == [1, 2, 5]
