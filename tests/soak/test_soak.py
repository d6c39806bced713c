"""The form of the soak that CI runs: about a minute of load. ``make soak`` is the whole."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from devtools.errors import MissingToolError
from devtools.kafka import real_kafka_required
from tests.soak.plan import short_form
from tests.soak.trial import soak


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_every_figure_is_true_after_a_mixed_load(tmp_path: Path) -> None:
    seed = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(10**6))
    try:
        wrong = soak(short_form(seed), tmp_path)
    except MissingToolError as error:
        (pytest.fail if real_kafka_required() else pytest.skip)(str(error))
    assert wrong == [], f"seed {seed}"
