"""LangGraph's checkpoints, in the run store's database."""
