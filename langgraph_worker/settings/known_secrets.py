"""The secrets that a worker's process knows: those of its settings, and what its environment names as one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

from langgraph_worker.settings.model import WorkerSettings
from langgraph_worker.settings.store_url import parse_url

SHORTEST = 8
"""Characters of a secret that is masked: a shorter one cannot be told from words."""

_LONGEST_WORD = 15
_NAME = re.compile(
    r"((api_?|access_?|account_?|storage_?|private_?|secret_?|auth_?|signing_?|encryption_?|license_?|fernet_?"
    r"|openai_?|subscription_?)keys?"
    r"|key_(pem|base64|b64)|token|secret|passw(or)?ds?|passphrase|credentials?|authorization|_pat|_jwt"
    r"|_dsn|connection_?string|jaas_config|_pwd|_pass|sshpass|webhook(_url)?)"
    r"(_json|_?\d{1,2})?$",
    re.IGNORECASE,
)
_HEADERS = re.compile(r"_headers$", re.IGNORECASE)
_HEADER = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)
_ADDRESS = re.compile(r"://[^\s/?#@:]*:([^\s/?#@]+)@")
_WORD = re.compile(rf"[a-z]{{1,{_LONGEST_WORD}}}|[A-Z][a-z]{{1,{_LONGEST_WORD - 1}}}|[0-9]{{1,11}}")


def known_secrets(settings: WorkerSettings, environ: Mapping[str, str]) -> frozenset[str]:
    """Texts that nothing that the worker writes may hold.

    A value of fewer than :data:`SHORTEST` characters, a single word and a short number are left out: to mask
    ``postgres`` or ``production`` everywhere would spoil results.

    :param environ: the process's environment, the project's own variables among them.
    """
    found = {*_by_name(settings.kafka_config), *_of_url(settings.store_url), *_of_store(settings.store_url)}
    for name, value in environ.items():
        if _NAME.search(name) and not _is_file(value):
            found.update((value, value.strip()))
        if _HEADERS.search(name):
            found.update(_of_headers(value))
        found.update(_of_url(value))
        found.update(_of_json(value))
    return frozenset(text for text in found if len(text.strip()) >= SHORTEST and not _WORD.fullmatch(text.strip()))


def _by_name(config: Mapping[str, object]) -> Iterator[str]:
    for name, value in config.items():
        if isinstance(value, str) and _NAME.search(name.replace(".", "_")):
            yield value


def _of_store(url: str) -> Iterator[str]:
    """What libpq takes in a URL's query: ``?password=``."""
    for name, values in parse_url(url).normalized_query.items():
        if _NAME.search(name):
            yield from values


def _of_url(text: str) -> Iterator[str]:
    """The passwords of the addresses in a text."""
    for password in _ADDRESS.findall(text):
        yield from (password, unquote(password))


def _of_json(text: str) -> Iterator[str]:
    """Of an object, such as a connection or the key of an account, what its names say."""
    if not text.lstrip().startswith("{"):
        return
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return
    yield from _by_name(values)


def _is_file(value: str) -> bool:
    """Whether it names a file, as ``GOOGLE_APPLICATION_CREDENTIALS`` does: errors quote it."""
    return value.startswith("/") and Path(value).exists()


def _of_headers(value: str) -> Iterator[str]:
    """Of a list of headers, ``name=value,name=value``, what their names say."""
    for part in value.split(","):
        name, equals, inner = part.partition("=")
        if equals and _HEADER.search(name):
            inner = unquote(inner.strip())
            yield inner
            scheme, blank, credential = inner.partition(" ")
            if blank and scheme.lower() in ("bearer", "basic"):
                yield credential
