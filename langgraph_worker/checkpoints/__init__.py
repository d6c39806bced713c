"""LangGraph's checkpoints, in the run store's database and behind its leases.

LangGraph's own savers do the work: their tables, their statements, their serializer. But a checkpoint is written with
the writes of other runs, in one transaction that checks whether each run still owns its thread
(:mod:`langgraph_worker.store.sql.run_writes`). The stock savers write what a stale owner gives them, one at a time.
"""
