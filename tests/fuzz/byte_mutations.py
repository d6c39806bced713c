"""Changes of a record's bytes, headers, key and time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from random import Random
from typing import Any

from tests.fuzz.body_mutations import AGAIN
from tests.fuzz.hostile_values import RAW
from tests.fuzz.valid_events import Draft

_STAND_IN = re.compile(r'"@raw:(\d+)@"')
_JUNK = (
    b"\xff",
    b"\xfe\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\0",
    b"\x80",
    b"\r\n",
    b"}",
    b'"',
    b"\xe2\x80\xa8",
)
_VERSIONS = (
    b"2.0",
    b"1.9",
    b"1",
    b"",
    b"0.9",
    b"01.0",
    b"v1",
    b"1.0\0",
    b"\xff",
    b"9" * 500,
    None,
    b"1..0",
    "１.0".encode(),
)
_NOT_IDS = (
    b"",
    b"not-a-uuid",
    b"\xff\xfe",
    None,
    b"0",
    b"x" * 5_000,
    b"{0190b1e0-0000-7000-8000-00000000000a}",
    "０190b1e0-0000-7000-8000-00000000000a".encode(),
)
_TIMES = (None, 1, 1_700_000_000_000, 1_700_000_000_000_000, 2**62, 253_402_300_799_999, 253_402_300_800_000)


NO_TEXT = b"\xff\xfe".decode("utf-8", "surrogateescape")


def dump(body: dict[str, Any]) -> bytes:
    """The body as JSON, with what no JSON writer writes put in."""
    try:
        text = json.dumps(body, ensure_ascii=False)
    except RecursionError:
        text = "[" * 1_000
    text = _STAND_IN.sub(lambda found: RAW[int(found[1])], text).replace(f'{AGAIN}"', '"')
    return text.encode("utf-8", "surrogatepass")


def _flip(value: bytes, rng: Random) -> bytes:
    changed = bytearray(value)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _truncate(value: bytes, rng: Random) -> bytes:
    return value[: rng.randrange(len(value) + 1)]


def _insert(value: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(value) + 1)
    return value[:at] + (rng.choice(_JUNK) if rng.random() < 0.6 else rng.randbytes(rng.randrange(1, 9))) + value[at:]


def _cut_out(value: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(value) + 1)
    return value[:at] + value[at + rng.randrange(1, 40) :]


def _repeat(value: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(value) + 1)
    return value[:at] + value[max(0, at - rng.randrange(1, 60)) : at] * rng.choice((1, 2, 20)) + value[at:]


def _other_encoding(value: bytes, rng: Random) -> bytes:
    text = value.decode("utf-8", "replace")
    return text.encode(rng.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7")), "replace")


def _instead(value: bytes, rng: Random) -> bytes:
    return rng.choice(
        (
            b"",
            b"null",
            b"[]",
            b'""',
            b"{}",
            b"0",
            b"\x1f\x8b\x08\0",
            b" " * 50,
            rng.randbytes(rng.randrange(1, 300)),
            value + value,
            b"[" + value + b"]",
        )
    )


def _pad(value: bytes, rng: Random) -> bytes:
    """Near a limit: of the worker, or of the topic."""
    wanted = rng.choice((50_000, 999_600, 1_000_001, 1_030_000))
    return value + b" " * max(0, wanted - len(value))


BYTES: tuple[tuple[str, Callable[[bytes, Random], bytes]], ...] = (
    *(("flip", _flip), ("flip", _flip), ("truncate", _truncate), ("insert", _insert), ("cut out", _cut_out)),
    *(("repeat", _repeat), ("other encoding", _other_encoding), ("instead", _instead)),
)
RARE_BYTES = (("pad", _pad),)


def _without(draft: Draft, rng: Random) -> None:
    if draft.headers:
        draft.headers.pop(rng.randrange(len(draft.headers)))


def _second_id(draft: Draft, rng: Random) -> None:
    other = (
        "correlation-id",
        str(rng.choice(("0190b1e0-0000-7000-8000-0000000000ff", rng.randbytes(16).hex()))).encode(),
    )
    draft.headers.insert(rng.choice((0, len(draft.headers))), other)


def _bad_id(draft: Draft, rng: Random) -> None:
    draft.headers = [pair for pair in draft.headers if pair[0] != "correlation-id"]
    draft.headers.append(("correlation-id", rng.choice(_NOT_IDS)))


def _version(draft: Draft, rng: Random) -> None:
    draft.headers.append(("schema-version", rng.choice(_VERSIONS)))


def _strange(draft: Draft, rng: Random) -> None:
    names = (
        "",
        "é",
        "Correlation-Id",
        "correlation-id ",
        "x" * 300,
        "event-type",
        "traceparent",
        "signature",
        "\U0001f680",
    )
    draft.headers.append(
        (rng.choice(names), rng.choice((None, b"", b"\xff\xfe", b"00-" + b"a" * 32, rng.randbytes(30))))
    )


def _no_text(draft: Draft, rng: Random) -> None:
    """A name that is not UTF-8. No client of Python's reads or writes it; here its bytes are surrogates."""
    draft.headers.insert(rng.randrange(len(draft.headers) + 1), (NO_TEXT * rng.choice((1, 20_000)), b"x"))


def _forged(draft: Draft, rng: Random) -> None:
    name = rng.choice(("reason", "offset", "topic", "error-type", "body-omitted-bytes"))
    draft.headers.append((f"dead-letter-{name}", rng.choice((b"forged", b"", None, b"\xff"))))


def _key(draft: Draft, rng: Random) -> None:
    draft.key = rng.choice((None, b"", b"\0", b"\xff\xfe", rng.randbytes(8), b"k" * 3_000))


HEADERS: tuple[tuple[str, Callable[[Draft, Random], None]], ...] = (
    *(("without a header", _without), ("second id", _second_id), ("bad id", _bad_id), ("version", _version)),
    *(("strange header", _strange), ("forged header", _forged), ("key", _key), ("name that is no text", _no_text)),
)


def _many_headers(draft: Draft, rng: Random) -> None:
    draft.headers += [(f"h{number}", b"x") for number in range(rng.choice((100, 3_000)))]


def _large_header(draft: Draft, rng: Random) -> None:
    draft.headers.append(
        (
            rng.choice(("baggage", "traceparent", "event-type", "correlation-id", "dead-letter-reason")),
            b"h" * rng.choice((10_000, 100_000, 500_000, 1_001_000)),
        )
    )


def _bomb(draft: Draft, rng: Random) -> None:
    """A small record that is large in memory: thousands of names, all different, or the ones that count repeated."""
    count = rng.choice((2_000, 20_000))
    if rng.random() < 0.5:
        draft.headers += [(f"{number:x}", b"") for number in range(count)]
    else:
        draft.headers += [rng.choice(draft.headers or [("correlation-id", b"x")])] * count


RARE_HEADERS = (("many headers", _many_headers), ("large header", _large_header), ("header bomb", _bomb))


def timestamp(rng: Random) -> int | None:
    """A record's time as strange producers set it, in milliseconds."""
    return rng.choice(_TIMES)
