"""Records as producers in other languages may write them: Kafka takes any bytes for a header's name, Python's client
only text. So this calls the C library that comes with it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import confluent_kafka

from devtools.broker import Broker

_END, _TOPIC, _PARTITION, _VALUE, _MSGFLAGS, _HEADERS = 0, 1, 3, 4, 7, 10
_COPY = 2
_ANY = -1
_SECONDS = 15


def library() -> Path | None:
    """Where it is, if it can be found."""
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    return next(iter(sorted(folder.glob("librdkafka*.so*"))), None)


def write(
    broker: Broker, topic: str, value: bytes, headers: Sequence[tuple[bytes, bytes]], partition: int = _ANY
) -> None:
    """Write one record and wait for its acknowledgement."""
    path = library()
    assert path is not None
    c = ctypes.CDLL(str(path))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_headers_new"):
        getattr(c, name).restype = ctypes.c_void_p
    text = ctypes.create_string_buffer(512)
    config = ctypes.c_void_p(c.rd_kafka_conf_new())
    for name, setting in broker.client.items():
        assert c.rd_kafka_conf_set(config, name.encode(), setting.encode(), text, ctypes.c_size_t(512)) == 0, text.value
    producer = ctypes.c_void_p(c.rd_kafka_new(0, config, text, ctypes.c_size_t(512)))
    assert producer.value, text.value
    try:
        made = ctypes.c_void_p(c.rd_kafka_headers_new(ctypes.c_size_t(len(headers))))
        for header, content in headers:
            sizes = ctypes.c_ssize_t(len(header)), ctypes.c_ssize_t(len(content))
            c.rd_kafka_header_add(made, header, sizes[0], content, sizes[1])
        error = c.rd_kafka_producev(
            producer,
            *(ctypes.c_int(_TOPIC), ctypes.c_char_p(topic.encode())),
            *(ctypes.c_int(_PARTITION), ctypes.c_int32(partition)),
            *(ctypes.c_int(_MSGFLAGS), ctypes.c_int(_COPY)),
            *(ctypes.c_int(_VALUE), ctypes.c_char_p(value), ctypes.c_size_t(len(value))),
            *(ctypes.c_int(_HEADERS), made),
            ctypes.c_int(_END),
        )
        assert error == 0, error
        assert c.rd_kafka_flush(producer, _SECONDS * 1000) == 0
    finally:
        c.rd_kafka_destroy(producer)
