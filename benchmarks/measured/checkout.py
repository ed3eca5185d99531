"""What a warm checkout and check-in take in one thread."""

from __future__ import annotations

import gc
import time

from .ways import way


def cost(pairs: int, is_queue_pool: bool = False) -> dict[str, float]:
    """Microseconds that one pair takes: of CPU, all threads of the process included, and until it is over."""
    take, give = way(is_queue_pool, 5)
    for _ in range(3):
        give(take())
    gc.collect()  # what was left behind before is not ours; what a pair leaves behind is
    begun, cpu = time.perf_counter(), time.process_time()
    for _ in range(pairs):
        give(take())
    cpu, elapsed = time.process_time() - cpu, time.perf_counter() - begun
    return {"cpu": cpu / pairs * 1e6, "elapsed": elapsed / pairs * 1e6}
