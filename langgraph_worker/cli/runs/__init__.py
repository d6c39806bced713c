"""``langgraph-worker runs``: look at what the store keeps, and ask workers to change it."""
