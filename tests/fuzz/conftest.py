"""What the tests of this folder share."""

from __future__ import annotations

import pytest

from devtools.broker import Broker


@pytest.fixture
def real_broker(broker: Broker) -> Broker:
    """Apache Kafka: which bytes, names and sizes it takes is the point here."""
    if broker.kind == "embedded":
        pytest.skip("the embedded broker has other limits than Kafka")
    return broker
