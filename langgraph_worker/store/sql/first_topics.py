"""Which topic of a name the store met first.

The id of an event that names none comes from its place in Kafka. Versions before took the topic's name alone, so that a
topic that was created anew had the ids of the one before. The topic's id would tell them apart, and would give each
event that was accepted before an upgrade another id: read again, it would run again. So the topic that the store meets
first, at an upgrade the one that it has served, keeps the ids of the versions before; the ids of those that come later
under its name have the topic's id in them.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from langgraph_worker.store.migrations.schema import first_topics
from langgraph_worker.store.sql.statements import insert_missing


def first_topic_id(connection: Connection, cluster: str, topic: str, topic_id: str) -> str:
    """See :meth:`~langgraph_worker.store.port.RunStore.first_topic_id`."""
    row = {"cluster": cluster, "topic": topic, "topic_id": topic_id}
    connection.execute(insert_missing(connection, first_topics), row)
    here = (first_topics.c.cluster == cluster, first_topics.c.topic == topic)
    found: str = connection.execute(select(first_topics.c.topic_id).where(*here)).scalar_one()
    return found
