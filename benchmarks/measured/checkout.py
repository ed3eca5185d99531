"""CPU time of a warm checkout and check-in in one thread."""

from __future__ import annotations

import gc
import time

from .ways import way


def cpu(pairs: int, is_queue_pool: bool = False) -> float:
    """Microseconds of CPU, all threads of the process included, that one pair takes."""
    take, give = way(is_queue_pool, 5)
    for _ in range(3):
        give(take())
    gc.collect()  # what was left behind before is not ours; what a pair leaves behind is
    begun = time.process_time()
    for _ in range(pairs):
        give(take())
    return (time.process_time() - begun) / pairs * 1e6
