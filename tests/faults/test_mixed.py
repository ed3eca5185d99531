"""All faults at random, for a few seconds. TEST_SEED=... replays what a failure has printed; ``make soak`` goes on."""

from __future__ import annotations

import os
import random

from tests.faults.mix import Mix
from tests.faults.stage import Scene

SEED = int(os.environ.get("TEST_SEED") or random.randrange(1_000_000))


def test_whatever_happens_nothing_is_lost(scene: Scene) -> None:
    mix = Mix(scene, SEED, say=print)
    violations = mix.run(seconds=5.0)
    assert not violations, "\n".join(violations)  # whole, with the stacks of threads that hang
    assert mix.count > 1
