"""Values that readers, databases and clients stumble over."""

from __future__ import annotations

from random import Random
from typing import Any

SECRET = "s3cret-9f31c0"
"""Part of every seed's input: no reason, and so no log and no header, may repeat it."""

_NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 255, 2**31 - 1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30, -(10**300)),
    *(0.5, -0.0, 1e308, -1e308, 5e-324, 1e-400, 1.7976931348623157e308, float("nan"), float("inf"), float("-inf")),
)
_TEXTS = (
    *(
        "",
        " ",
        "x",
        "0",
        "1",
        "-1",
        "1e5",
        "true",
        "null",
        "NaN",
        "\0",
        "a\0b",
        "\n",
        "line\nbreak",
        "\x1b[2J",
        "\ufeff",
    ),
    *(
        "\u202etxet",
        "e\u0301",
        "\U0001f680" * 3,
        "ſ",
        "İstanbul",
        "ﷺ",
        "日本語",
        "\U0010ffff",
        "\ufffe",
        "'; --",
        "%s%n",
        "{}",
    ),
    *("../../etc/passwd", "${jndi:ldap://x}", "__class__", "__interrupt__", "x" * 512, "x" * 513, "\U0001f680" * 512),
)
_INSTANTS = (
    *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-12:00"),
    *(
        "1969-12-31T23:59:59.999999Z",
        "1970-01-01T00:00:00+00:01",
        "2200-01-01T00:00:00Z",
        "2200-01-01T00:00:00.000001Z",
    ),
    *("1970-01-01T00:00:00Z", "2016-12-31T23:59:60Z", "2026-02-30T00:00:00Z", "2026-06-01T12:00:00", "2026-06-01"),
    *(
        "2026-W23-1",
        "20260601T120000",
        "2026-06-01T12:00:00.123456789Z",
        "2026-06-01T24:00:00Z",
        "now",
        "2026-06-01 12",
    ),
    *(
        "-0001-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "2026-06-01T12:00:00+23:59",
        "2026-06-01T12:00:00[Europe/Rome]",
    ),
)
_PARTS_OF_INSTANTS = (
    ("0001", "1582", "1969", "1970", "2016", "2024", "2199", "2200", "2201", "9999"),
    ("-01-01", "-12-31", "-02-29", "-06-30"),
    ("T", "T", "T", "T", " ", "t"),
    ("00:00:00", "23:59:59", "12:00:00", "23:59:60", "13:59:59", "24:00:00"),
    ("", "", ".0", ".5", ".000001", ".999999", ".9999999", ".123456789", ",5", "."),
    ("Z", "Z", "+14:00", "-14:00", "+00:00", "-00:00", "+23:59", "-12:00", "+24:00", "+05:30:15", "+0530", ""),
)
_IDS = (
    *(
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "{0190b1e0-0000-7000-8000-000000000001}",
    ),
    *("urn:uuid:0190b1e0-0000-7000-8000-000000000001", "0190B1E0000070008000000000000001", "0190b1e0-0000-7000-8000"),
    *("not-a-uuid", "０190b1e0-0000-7000-8000-000000000001"),
)
RAW = (
    *(
        "1e400",
        "-1e999",
        "9" * 4_300,
        "9" * 4_301,
        "9" * 100_000,
        "0." + "1" * 5_000,
        "1" + "0" * 309,
        "01",
        "+1",
        ".5",
        "1.",
        "0x1F",
    ),
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "nan",
        "tru",
        "nul",
        "undefined",
        "'text'",
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '"\\ud83d\\ude80"',
    ),
    *(
        '"\\u0000"',
        '"\\x41"',
        '"\\u00"',
        '"open',
        '"tab\there"',
        "[1,]",
        "{,}",
        '{"a":}',
        "[",
        "}",
        "/* c */ 1",
        '"\\/"',
    ),
    *(
        "[" * 150 + "]" * 150,
        "[" * 199 + "]" * 199,
        "[" * 201 + "]" * 201,
        "[" * 50_000,
        '{"a":' * 300 + "1" + "}" * 300,
    ),
)
"""Tokens that no JSON writer of this world writes."""


def value(rng: Random) -> Any:
    """Any JSON value, mostly a small one; now and then a text that stands for one of :data:`RAW`."""
    kind = rng.randrange(100)
    if kind < 25:
        return rng.choice(_NUMBERS)
    if kind < 50:
        return text(rng)
    if kind < 62:
        return rng.choice(_INSTANTS)
    if kind < 70:
        return rng.choice(_IDS)
    if kind < 78:
        return rng.choice((None, True, False))
    if kind < 88:
        return raw(rng)
    if kind < 98:
        return rng.choice(
            ([], {}, [[]], [{}], {"": None}, [None], {"a": {"b": {"c": [1, 2.5, "x"]}}}, [1, "a", None], nested(rng))
        )
    return large(rng)


def text(rng: Random) -> str:
    """A text; often one that databases refuse, rarely a long one."""
    if rng.random() < 0.2:
        return rng.choice(("\0", "a\0b", "\0" * 20))
    return rng.choice(_TEXTS) if rng.random() < 0.99 else rng.choice("xé\U0001f680") * rng.choice((3_000, 70_000))


def instant(rng: Random) -> Any:
    """Something for a field that wants an instant: near the ends of calendars, of days and of zones, more or less."""
    kind = rng.random()
    if kind < 0.6:
        return "".join(rng.choice(parts) for parts in _PARTS_OF_INSTANTS)
    return rng.choice(_INSTANTS) if kind < 0.9 else rng.choice(_NUMBERS)


def identifier(rng: Random) -> str:
    """Something for a field that wants a UUID."""
    return rng.choice(_IDS)


def raw(rng: Random) -> str:
    """Stands for one of :data:`RAW`; :func:`tests.fuzz.byte_mutations.dump` puts it in."""
    return f"@raw:{rng.randrange(len(RAW))}@"


def nested(rng: Random) -> Any:
    """A value in many boxes."""
    inner: Any = rng.choice((1, "x", None))
    for _ in range(rng.choice((3, 60, 180, 199, 230))):
        inner = [inner] if rng.random() < 0.7 else {"n": inner}
    return inner


def large(rng: Random) -> Any:
    """A value of many parts, up to some hundred kilobytes."""
    count = rng.choice((300, 2_000, 20_000))
    match rng.randrange(4):
        case 0:
            return [rng.randrange(9) for _ in range(count)]
        case 1:
            return {f"k{number}": number for number in range(count)}
        case 2:
            return [text(rng)[:20] for _ in range(count)]
        case _:
            return {f"__{number}": {} for number in range(count)}
