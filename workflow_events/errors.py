"""The errors of the wire contract: what can be wrong with a message.

::

    WorkflowEventsError
    ├── DecodeError                 the bytes are not a message of this contract
    │   └── UnsupportedSchemaError  a newer major version of it
    ├── EncodeError                 a value has no JSON form
    └── MessageTooLargeError        it would not fit the broker
"""

from __future__ import annotations

from uuid import UUID


class WorkflowEventsError(Exception):
    """Base of every error of the wire contract. It never helps to send the same bytes again."""

    retriable = False


class DecodeError(WorkflowEventsError):
    """The bytes are not what the topic carries.

    :param reason: one sentence, safe to show: it names the field and the rule, never the value.
    :param field: dotted path of the first wrong field (``payload.data``); None if the body is not JSON.
    :param where: ``topic[partition]@offset`` of the record; None if it did not come from Kafka.
    :param correlation_id: from the record's header, if it could be read. A request that has one still gets an answer.
    """

    def __init__(
        self,
        reason: str,
        *,
        field: str | None = None,
        where: str | None = None,
        correlation_id: UUID | None = None,
    ) -> None:
        self.reason = reason
        self.field = field
        self.where = where
        self.correlation_id = correlation_id
        place = f"{where}: " if where else ""
        name = f"field {field!r}: " if field else ""
        super().__init__(f"{place}{name}{reason}")


class UnsupportedSchemaError(DecodeError):
    """The message has a newer major version of the contract. Remedy: upgrade this side."""


class EncodeError(WorkflowEventsError, ValueError):
    """A value of the message has no JSON form, such as half of a surrogate pair in a text."""


class MessageTooLargeError(WorkflowEventsError):
    """The encoded message is over the limit of its sender. Nothing was sent, nothing was cut off.

    :param what: the message, for the reader.
    :param size: encoded size in bytes: key, value and headers.
    :param limit: the limit in bytes.
    :param set_by: what sets the limit, and how it is raised: the end of the sentence that names it, and more sentences.
    """

    def __init__(self, what: str, size: int, limit: int, set_by: str = "") -> None:
        self.what = what
        self.size = size
        self.limit = limit
        self.set_by = set_by
        super().__init__(
            f"{what} is {size:,} bytes, over the limit of {limit:,}{f' {set_by}' if set_by else ''}. Pass a reference "
            "to large data (an object store's URL) instead"
        )
