"""A small trading desk: an orchestrator, a data agent for each symbol, and an analysis agent.

Read it in this order: `graph.py` (who works when), `data_agent.py`, `analysis_agent.py`, `number_check.py`.
"""
