"""LangGraph's checkpoints, in the run store's database and behind its leases.

LangGraph's own savers do the work: their tables, their statements, their serializer. But a checkpoint is written with
what other runs write at the same moment, in one transaction that checks whether each of them still owns its thread
(:mod:`langgraph_worker.store.writes`). The stock savers write whatever a stale owner hands them, and one at a time.
"""
