"""Start the real parts for the demo, for development and for tests: Kafka, PostgreSQL, Airflow, the worker.

Nothing here is in the wheel. Read :mod:`devtools.demo` first: it uses every other module.
"""
