"""What librdkafka's errors mean to a person, and the remedy of each.

An error is known by its name (``KafkaError.name()``), so this module needs no Kafka client. Each side fills in its own
words for where the broker, the credentials and the topics are set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """One side's words, as they stand in a remedy.

    :param servers: the setting that names the brokers.
    :param client: the setting that holds the credentials and the other settings of librdkafka.
    :param client_files: where a file must exist that a setting names.
    :param topics: the settings that name the topics.
    :param topic_rights: the rights on topics that this side needs.
    :param group_remedy: what to do when the consumer group may not be used.
    :param cluster_rights: the rights without which Kafka reports a missing right on the cluster.
    :param size_remedy: what to do when a message is too large.
    """

    servers: str
    client: str
    client_files: str
    topics: str
    topic_rights: str
    group_remedy: str
    cluster_rights: str
    size_remedy: str


@dataclass(frozen=True, slots=True)
class Hint:
    """What an error means.

    :param problem: what is wrong; ``{at}`` is where the brokers are.
    :param remedy: what a person can do about it, in the imperative; empty where nothing is known to help.
    """

    problem: str
    remedy: str


_CREDENTIALS_REFUSED = Hint(
    "Kafka{at} refuses the credentials",
    "check security.protocol, sasl.mechanism, sasl.username and sasl.password in {client}",
)
_UNREACHABLE = Hint(
    "no broker answers{at}",
    "check {servers}, that Kafka runs and can be reached from here, and that security.protocol in {client} is the "
    "listener's",
)
_NO_TOPIC = Hint(
    "the topic does not exist",
    "correct {topics}, or create it (`langgraph-worker run --create-topics` with the fleet's name does)",
)
_HINTS: Mapping[str, Hint] = {
    "_AUTHENTICATION": _CREDENTIALS_REFUSED,
    "SASL_AUTHENTICATION_FAILED": _CREDENTIALS_REFUSED,
    "_SSL": Hint(
        "TLS with Kafka{at} fails",
        "check security.protocol and the ssl.* settings in {client}, such as ssl.ca.location",
    ),
    "_RESOLVE": Hint("a broker's host name is unknown{at}", "check {servers}"),
    "_INVALID_ARG": Hint(
        "the Kafka client does not take its settings",
        "correct or remove the setting that it names in {client}; a file that a setting names must exist "
        "{client_files}",
    ),
    "_ALL_BROKERS_DOWN": _UNREACHABLE,
    "_TRANSPORT": _UNREACHABLE,
    "_TIMED_OUT": _UNREACHABLE,
    "_MSG_TIMED_OUT": Hint("the message was not acknowledged in time{at}", ""),
    "UNKNOWN_TOPIC_OR_PART": _NO_TOPIC,
    "_UNKNOWN_TOPIC": _NO_TOPIC,
    "TOPIC_AUTHORIZATION_FAILED": Hint("this user may not use the topic", "grant it {topic_rights}"),
    "GROUP_AUTHORIZATION_FAILED": Hint("this user may not use the consumer group", "{group_remedy}"),
    "CLUSTER_AUTHORIZATION_FAILED": Hint("this user lacks a right on the cluster", "grant it {cluster_rights}"),
    "MSG_SIZE_TOO_LARGE": Hint(
        "the broker refuses a record of this size: the topic's max.message.bytes, or without one the broker's "
        "message.max.bytes, is smaller",
        "{size_remedy}",
    ),
    "RECORD_LIST_TOO_LARGE": Hint(
        "the broker refuses a batch of this size: the topic's segment.bytes is smaller",
        "raise segment.bytes of the topic",
    ),
}

CREDENTIALS = frozenset({"_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED"})
"""The broker refuses the credentials."""

FORBIDDEN = frozenset({"TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED"})
"""The user lacks a right on a topic or a group."""

HOPELESS = CREDENTIALS | FORBIDDEN
"""To wait does not help: only a change by a person does."""

MOST_TELLING = ("_AUTHENTICATION", "_SSL", "_RESOLVE", "TOPIC_AUTHORIZATION_FAILED", "_ALL_BROKERS_DOWN", "_TRANSPORT")
"""Of several errors at once, the one to show first: a refused login is followed by "all brokers down", which says
less.
"""

_SHOWN = frozenset(
    {
        "broker.address.family",
        "client.dns.lookup",
        "compression.codec",
        "compression.type",
        "group.protocol",
        "sasl.mechanism",
        "sasl.mechanisms",
        "sasl.oauthbearer.method",
        "security.protocol",
        "ssl.endpoint.identification.algorithm",
    }
)
"""The settings of librdkafka whose value an error may repeat: those that choose one of a few words."""

_INVALID = re.compile(r'value "(.*)" for configuration property "([^"]*)"', re.DOTALL)
_OAUTH = re.compile(r"(sasl\.oauthbearer\.config\b).*", re.DOTALL)
_URL = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s\"']*@", re.IGNORECASE)
_QUERY = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s\"'?]*\?)[^\s\"']*", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """What librdkafka says, without the values that it repeats of settings, as far as they may be secrets."""
    text = _INVALID.sub(lambda found: found[0] if found[2] in _SHOWN else f'value for "{found[2]}"', text)
    text = _OAUTH.sub(r"\1 is wrong", text)
    return _QUERY.sub(r"\1***", _URL.sub(r"\1***@", text))


def hint(name: str, words: Words, at: str = "") -> Hint | None:
    """What the error with this name means, in one side's words; None if there is nothing to add to its own text.

    :param at: the brokers as ``host:port``; empty if they are not known.
    """
    found = _HINTS.get(name)
    if found is None:
        return None
    filled = {field: getattr(words, field) for field in words.__dataclass_fields__}
    place = f" at {at}" if at else ""
    return Hint(found.problem.format(at=place), found.remedy.format(**filled))
