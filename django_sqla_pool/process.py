"""Which process this is: a fork is noticed at every look, without a system call where the kernel allows it.

It owns the mark that a child of a fork does not have. What is to be done then is registry.py's business: whoever reads the mark
directly, where even a call of ``has_forked`` would be felt in each request, calls ``registry.notice_fork()`` where it is zero.
"""

from __future__ import annotations

import mmap
import os

__all__ = ["has_forked", "mark", "remember"]

_MADV_WIPEONFORK = 18  # linux/mman.h, since Linux 4.14: the child of a fork, however it was made, finds zeros in the page

_pid = 0


def _make_mark() -> mmap.mmap | bytearray:
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_MADV_WIPEONFORK)
    except (AttributeError, OSError, ValueError):
        return bytearray(1)  # zero for ever: the process id is asked for at each look
    return page


#: Its first byte is zero in a child of a fork, and wherever the kernel does not know how to make it so. It is looked at
#: several times a request, where ``os.getpid()`` alone would take a fifteenth of a warm checkout.
mark = _make_mark()


def has_forked() -> bool:
    """Tell whether this process is a child of the one that ``remember`` was last called in, or that imported this."""
    return not mark[0] and _pid != os.getpid()


def remember() -> None:
    """Take this process for the one that is meant from now on."""
    global _pid
    _pid = os.getpid()
    if not isinstance(mark, bytearray):
        mark[0] = 1


remember()
