"""``langgraph-worker pause | unpause | pauses``: hold a fleet back, or a graph or a workflow of it, and let it go on.

The commands change no run and no row: they publish a message on the control topic, which every worker takes in. The
store is only read, also beside a worker that has an SQLite store open, to check names and to see that it was taken in.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta

from pydantic import ValidationError

from langgraph_worker.broker.kafka.client_configs import producer_config
from langgraph_worker.broker.kafka.producer import AckProducer
from langgraph_worker.cli.pause_store import PauseStore, open_pause_store
from langgraph_worker.cli.user_name import user_name
from langgraph_worker.control.control_messages import pause_change
from langgraph_worker.domain.known_graphs import known_in_words
from langgraph_worker.domain.pauses import PauseChange
from langgraph_worker.errors import SettingsError, StoreError
from langgraph_worker.operations.sending import require_topic
from langgraph_worker.settings.load import load_settings
from langgraph_worker.settings.model import WorkerSettings
from workflow_events.codec import encode
from workflow_events.control import PauseScope, WorkflowPausedEvent, WorkflowUnpausedEvent
from workflow_events.log_words import in_seconds
from workflow_events.plain_text import one_line

NOT_CONFIRMED = 3
"""Exit code: the message is in Kafka for good, and it is not known that a worker has taken it in."""

_READ_SECONDS = 5.0
_LOOK_EVERY_SECONDS = 0.1
_FLUSH_SECONDS = 1.0
_NO_ANSWER = "the run store does not answer"
_Message = WorkflowPausedEvent | WorkflowUnpausedEvent


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What has become of a message.

    :param change: as it was published.
    :param doubt: why it is not known to be stored; None if it is.
    :param left: what is paused now; empty if that is not known.
    """

    change: PauseChange
    doubt: str | None
    left: Sequence[PauseChange] = ()


def pause(flags: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Pause; 0 when a worker has stored it, :data:`NOT_CONFIRMED` when it is only known to be in Kafka.

    :raises SettingsError: a setting or a name is wrong: nothing was published.
    :raises SendError: Kafka has not acknowledged it. It may have been written nevertheless.
    """
    return _change(flags, arguments, is_on=True)


def unpause(flags: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """End a pause, see :func:`pause`."""
    return _change(flags, arguments, is_on=False)


def show_pauses(flags: Mapping[str, str], arguments: argparse.Namespace) -> int:
    """Print what is paused; 0.

    :raises StoreError: the store cannot be read.
    """
    found = asyncio.run(_read_pauses(load_settings(flags)))
    if arguments.as_json:
        print(json.dumps([_as_json(one) for one in found], indent=2))
        return 0
    for one in found:
        print(f"{one.in_words}{' (what ran was stopped at once)' if one.at_once else ''}")
    if not found:
        print("nothing is paused")
    return 0


async def _read_pauses(settings: WorkerSettings) -> Sequence[PauseChange]:
    async with open_pause_store(settings) as store:
        if isinstance(store, str):
            raise StoreError(store, retriable=False)
        return await store.pauses()


def _change(flags: Mapping[str, str], arguments: argparse.Namespace, *, is_on: bool) -> int:
    settings = load_settings(flags)
    outcome = asyncio.run(_publish(settings, arguments, _message(arguments, is_on)))
    if arguments.as_json:
        stored = {"published": True, "stored": outcome.doubt is None, "doubt": outcome.doubt}
        left = [_as_json(one) for one in outcome.left]
        print(json.dumps(_as_json(outcome.change) | stored | {"paused_now": left}, indent=2))
    else:
        _print(outcome)
    return 0 if outcome.doubt is None else NOT_CONFIRMED


def _message(arguments: argparse.Namespace, is_on: bool) -> _Message:
    scope, name = _scope(arguments)
    by = user_name(arguments.by)
    try:
        if is_on:
            return WorkflowPausedEvent(
                scope=scope, name=name, at_once=arguments.now, reason=arguments.reason, requested_by=by
            )
        return WorkflowUnpausedEvent(scope=scope, name=name, reason=arguments.reason, requested_by=by)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        flag = {"reason": "--reason", "requested_by": "--by"}.get(str(first["loc"][0]) if first["loc"] else "")
        raise SettingsError(f"{flag or f'--{scope.value}'}: {first['msg']}") from None


def _scope(arguments: argparse.Namespace) -> tuple[PauseScope, str]:
    if arguments.graph is not None:
        return PauseScope.GRAPH, arguments.graph
    if arguments.workflow is not None:
        return PauseScope.WORKFLOW, arguments.workflow
    return PauseScope.FLEET, ""


async def _publish(settings: WorkerSettings, arguments: argparse.Namespace, message: _Message) -> _Outcome:
    async with open_pause_store(settings) as store:
        trouble = store if isinstance(store, str) else None
        if isinstance(store, PauseStore):
            # Whatever is wrong with the store: who stops a fleet is not held up by that.
            try:
                async with asyncio.timeout(_READ_SECONDS):
                    await _require_known(store, message, force=arguments.force)
                    message = await _after_the_last(store, message)
            except (StoreError, TimeoutError) as error:
                trouble = str(error) or _NO_ANSWER
        await _send(settings, message)
        change = pause_change(message)
        if trouble is not None or isinstance(store, str):
            return _Outcome(change, f"neither the name nor the effect could be looked up in the run store: {trouble}")
        try:
            async with asyncio.timeout(arguments.wait + _READ_SECONDS):
                return _Outcome(change, await _wait_until_stored(store, change, arguments.wait), await store.pauses())
        except (StoreError, TimeoutError) as error:
            return _Outcome(change, str(error) or _NO_ANSWER)


async def _require_known(store: PauseStore, message: _Message, *, force: bool) -> None:
    """Refuse a name that is probably misspelt: a pause of nothing would be a false safety."""
    if force or message.scope is PauseScope.FLEET:
        return
    known = await store.known(message.scope)
    if message.name in known:
        return
    what = "no worker has announced" if message.scope is PauseScope.GRAPH else "the run store has no request of"
    raise SettingsError(
        f"--{message.scope.value}: {what} a {message.scope.value} named {message.name!r}, so nothing was "
        f"published. {known_in_words(message.name, known)} If the name is right, add --force"
    )


async def _after_the_last(store: PauseStore, message: _Message) -> _Message:
    """The message with a time behind that of the change that it follows: the clocks of hosts differ."""
    last = await store.last_change(message.scope, message.name)
    if last is None or last.changed_at < message.timestamp:
        return message
    return message.model_copy(update={"timestamp": last.changed_at + timedelta(microseconds=1)})


async def _send(settings: WorkerSettings, message: _Message) -> None:
    encoded = encode(message, max_bytes=settings.max_message_bytes)
    await asyncio.to_thread(require_topic, settings, settings.kafka_workflow_control_topic)
    producer = AckProducer(producer_config(settings))
    try:
        await producer.send(settings.kafka_workflow_control_topic, encoded.key, encoded.value, encoded.headers)
    finally:
        await asyncio.to_thread(producer.close, _FLUSH_SECONDS)


async def _wait_until_stored(store: PauseStore, change: PauseChange, seconds: float) -> str | None:
    """Why it is not known that a worker has stored the change; None if one has."""
    end = time.monotonic() + seconds
    while True:
        last = await store.last_change(change.scope, change.name)
        if last is not None and last.is_newer_than(change):
            return f"a later message about {change.scope_in_words} came meanwhile: see `langgraph-worker pauses`"
        if not change.is_newer_than(last):
            return None
        if time.monotonic() >= end:
            return f"no worker has taken it in within {in_seconds(seconds)}: see whether one runs"
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


def _print(outcome: _Outcome) -> None:
    change = outcome.change
    if outcome.doubt is not None:
        print(f"published: {_sentence(change)}")
        print(f"not confirmed: {one_line(outcome.doubt)}. It counts for each worker as soon as that takes it in")
        return
    print(_sentence(change))
    for one in outcome.left:
        if one.key != change.key:
            print(f"paused besides: {one.in_words}; `{one.unpause_command}` ends that")


def _sentence(change: PauseChange) -> str:
    if not change.is_on:
        return f"{change.scope_in_words} is no longer paused. What waits starts, and goes on from its last checkpoint"
    stops = "what runs is stopped now" if change.at_once else "what runs stops before its next superstep"
    return f"{change.in_words}. Nothing of it starts, {stops}; `{change.unpause_command}` ends the pause"


def _as_json(change: PauseChange) -> dict[str, object]:
    return {
        "scope": change.scope.value,
        "name": change.name,
        "paused": change.is_on,
        "at_once": change.at_once,
        "reason": change.reason,
        "requested_by": change.requested_by,
        "changed_at": change.changed_at.astimezone(UTC).isoformat(),
    }
