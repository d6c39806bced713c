"""The form of the proof that CI runs: three minutes. ``python -m tests.chaos`` is the whole."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from devtools.errors import MissingToolError
from devtools.kafka import real_kafka_required
from tests.chaos.plan import short_form
from tests.chaos.trial import prove


@pytest.mark.integration
@pytest.mark.timeout(400)
def test_a_fleet_under_fire_keeps_its_promises(tmp_path: Path) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    try:
        violations = prove(short_form(seed), tmp_path)
    except MissingToolError as error:
        (pytest.fail if real_kafka_required() else pytest.skip)(str(error))
    assert violations == [], f"seed {seed}"
