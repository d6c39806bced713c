"""The fleet's API over HTTP: reads the run store, publishes requests and control messages. It changes no run itself.

FastAPI and uvicorn are the extra ``api``.
"""
