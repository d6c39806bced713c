"""What a topic's settings may lose, or do to its readers; each with the remedy. A worker runs all the same."""

from __future__ import annotations

from datetime import timedelta

from langgraph_worker.broker.kafka.admin import DEFAULT_RETENTION, LONGEST_RETENTION_MS, Cluster, ClusterAdmin
from langgraph_worker.settings.model import WorkerSettings, env_name
from workflow_events.topics import COMPRESSION, UNCOMPRESSED


def kept_too_short(admin: ClusterAdmin, settings: WorkerSettings, events: timedelta) -> list[str]:
    """What is forgotten while its event can still be read again, each with the remedy.

    :param events: how long the events topic keeps records.
    """
    topic, found = settings.kafka_workflow_events_topic, []
    control = admin.retention(settings.kafka_workflow_control_topic)
    if control is not None and control < events:
        found.append(
            f"topic {settings.kafka_workflow_control_topic} keeps its records for {_in_days(control)}, {topic} for "
            f"{_in_days(events)}: a cancel that no worker has read by then is lost, and its request runs. Give both "
            "topics the same retention.ms"
        )
    if timedelta(days=settings.tombstone_days) < events:
        found.append(
            f"{env_name('tombstone_days')} is {settings.tombstone_days:g}, {topic} keeps its records for "
            f"{_in_days(events)}: a request that was pruned and is read again after that time runs again. Raise the "
            "setting, at most 36500, or lower the topic's retention.ms"
        )
    return found


def compressed(admin: ClusterAdmin, cluster: Cluster, settings: WorkerSettings) -> list[str]:
    """The fleet's topics that take compressed records, each with what that allows and the command that mends it."""
    fleet = {spec.name for spec in settings.topics.specs()} | settings.reply_topics
    return [
        f"topic {name} has {COMPRESSION}={value}: a record of a few kilobytes can become hundreds of megabytes when it "
        "is read, and fill the memory of each reader or be unreadable. Run kafka-configs.sh --bootstrap-server "
        f"{settings.kafka_bootstrap_servers} --alter --entity-type topics --entity-name {name} --add-config "
        f"{COMPRESSION}={UNCOMPRESSED}"
        for name, value in admin.compressions(fleet & cluster.topics).items()
        if value != UNCOMPRESSED
    ]


def few_copies(admin: ClusterAdmin, cluster: Cluster, settings: WorkerSettings) -> list[str]:
    """The topics whose records are lost with one broker's disk. Progress and announcements may be lost."""
    topics = settings.topics
    kept = {topics.events, topics.control, topics.dead_letters, *settings.reply_topics} & cluster.topics
    single = sorted(name for name in kept if cluster.replicas.get(name) == 1)
    found = []
    if single:
        found.append(
            f"one replica has {', '.join(single)}: what is in it is lost with the disk of one broker. Give each topic "
            f"three on a cluster of three brokers (kafka-reassign-partitions.sh); this one has {cluster.brokers}"
        )
    alone = sorted(name for name, least in admin.least_in_sync(kept - set(single)).items() if least < _IN_SYNC)
    if alone:
        found.append(
            f"min.insync.replicas is 1 for {', '.join(alone)}: a record that one broker alone has counts as written. "
            f"Set it to {_IN_SYNC} with kafka-configs.sh"
        )
    return found


def shorter_than_deadlines(settings: WorkerSettings, events: timedelta) -> list[str]:
    """Whether a request can be gone before its deadline, because no worker has read it by then.

    A topic with the default retention is named only if the longest deadline is not the default one.

    :param events: how long the events topic keeps records.
    """
    longest = timedelta(days=settings.max_deadline_days)
    is_chosen = "max_deadline_days" in settings.model_fields_set
    if events >= (longest if is_chosen else min(longest, DEFAULT_RETENTION)):
        return []
    return [
        f"topic {settings.kafka_workflow_events_topic} keeps its records for {_in_days(events)}, and a request may "
        f"have {_in_days(longest)} ({env_name('max_deadline_days')}): one that no worker reads for so long is lost. "
        "Raise the topic's retention.ms, or lower the setting"
    ]


_IN_SYNC = 2


def _in_days(span: timedelta) -> str:
    if span >= timedelta(milliseconds=LONGEST_RETENTION_MS):
        return "ever"
    return f"{span / timedelta(days=1):g} days"
