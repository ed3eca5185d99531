"""All faults at random, for a few seconds. TEST_SEED=... replays what a failure has printed; ``make soak`` goes on."""

from __future__ import annotations

import os
import random

from tests.faults.mix import Mix
from tests.faults.stage import Scene

SEED = int(os.environ.get("TEST_SEED") or random.randrange(1_000_000))


def test_whatever_happens_nothing_is_lost(scene: Scene) -> None:
    mix = Mix(scene, SEED, say=print)
    assert mix.run(seconds=5.0) == []
    assert mix.count > 1
