"""Which names of values move power, wherever a graph reads them: endpoints, secrets, providers, commands, other graphs.

LangChain's models take some as options of a call, with or without a prefix: ``init_chat_model(config_prefix="first")``
makes it ``first_base_url``. LangGraph's and MCP's clients take others. A name is compared by its words, in lower case:
those of ``baseURL`` are those of ``base_url``.
"""

from __future__ import annotations

import re
from string import digits
from typing import Any

# The end of a word in camel case: before a capital behind a small letter, and before the last capital of HTTPProxy. A
# plural's s ends no word: baseURLs.
_SEPARATORS = re.compile(r"[\W_]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TAILS = _words(
    "arn b64 base64 config configuration default dict env file json line list map name id options override path "
    "profile ref settings str string template value values var vars"
)
"""Words behind a thing that name a form of it: ``token_file``."""

_NAMES = frozenset(("name", "id", "profile"))
_NAMED = _words("connection credential credentials key provider proxy secret webhook")
"""What is chosen by its name or id, too. That of a server, a host or a token is often plain text."""

_THINGS = _words(
    "args argv authentication authorization bearer callback cmd command connection cookies credential dsn endpoint "
    "executable gateway headers host jwt kwargs mcp passphrase passwd password provider proxy pwd secret server "
    "token webhook"
)
"""What moves power as the last word of a name. Tokens in the plural are counted, those of a model."""

_SERVICE = (
    "(api|base|backend|broker|callback|database|db|endpoint|gateway|llm|mcp|model|ollama|openai|postgres|proxy|redis"
    "|server|service|smtp|target|webhook)"
)
_OF_SECRETS = (
    "(access|account|anthropic|api|auth|azure|encryption|gemini|google|groq|hf|langfuse|langsmith|license|master|mistral"
    "|openai|private|sas|secret|serper|service|shared|signing|ssh|storage|subscription|tavily)"
)
_PHRASES = re.compile(
    rf"(^|_)({_SERVICE}_?ur[il]s?|api_?bases?|{_OF_SECRETS}_?keys?|(access|api|auth|bearer|refresh|session)_?tokens?"
    r"|mcp_?servers?|(db|database|proxy|redis|server|smtp)_?(hostname|address)|env(ironment)?_?(file|vars?|variables?)"
    r"|(graph|assistant)_?ids?|[a-z]*kwargs|client_(options|args)|extra_(body|query)|default_query"
    r"|(http|async)_(async_)?client)$"
)

_CONTENT = _words(
    "article audio avatar blog company content doc docs document download feed file github gitlab home homepage "
    "icon image img issue job landing link linkedin logo media news page pdf photo picture post product profile "
    "reference repo repository rss site sitemap source thumbnail transcript tweet video web website wiki wikipedia "
    "youtube"
)
"""Of which an address is something to read, and no service that is trusted with data and keys."""


def moves_power(name: str, value: Any) -> bool:
    """Whether a value by this name may choose an endpoint, a secret, a provider, a command to start or another graph.

    :param value: the environment of a process is a mapping; one by name, such as ``production``, moves nothing.
    """
    words = words_of(name)
    if "auth" in words or "oauth" in words:
        return True
    if words and words[-1] in ("env", "environment") and isinstance(value, dict):
        return True
    is_name_of_it = False
    while words:
        if _is_power(words) and (not is_name_of_it or words[-1] in _NAMED):
            return True
        tail = words.pop()
        if tail not in _TAILS:
            return False
        is_name_of_it = is_name_of_it or tail in _NAMES
    return False


def words_of(name: str) -> list[str]:
    """The words of a name, in lower case, without numbers behind them: ``baseURL2`` has base and url."""
    return [word for word in (one.rstrip(digits).lower() for one in _SEPARATORS.split(name)) if word]


def _is_power(words: list[str]) -> bool:
    last = words[-1]
    if last in ("url", "urls", "uri", "uris"):
        return not _CONTENT.intersection(words[-2:-1])
    if last in _THINGS or (last != "tokens" and _singular(last) in _THINGS):
        return True
    return _PHRASES.search("_".join(words[-3:])) is not None


def _singular(word: str) -> str:
    return word[:-3] + "y" if word.endswith("ies") else word.removesuffix("s")
