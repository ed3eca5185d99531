"""Which process this is: a fork is noticed at every look, without a system call where the kernel allows it.

It owns the mark that a child of a fork does not have. What is to be done then is registry.py's business.
"""

from __future__ import annotations

import mmap
import os

__all__ = ["has_forked", "remember"]

_MADV_WIPEONFORK = 18  # linux/mman.h, since Linux 4.14: the child of a fork, however it was made, finds zeros in the page

_pid = os.getpid()
_page: mmap.mmap | bytearray


def _make_page() -> mmap.mmap | bytearray:
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_MADV_WIPEONFORK)
    except (AttributeError, OSError, ValueError):
        return bytearray(1)  # zero for ever: the process id is asked for at each look
    page[0] = 1
    return page


def has_forked() -> bool:
    """Tell whether this process is a child of the one that ``remember`` was last called in, or that imported this.

    Called some four times a request, where ``os.getpid()`` alone would take a fifteenth of a warm checkout.
    """
    return not _page[0] and _pid != os.getpid()


def remember() -> None:
    """Take this process for the one that is meant from now on."""
    global _pid, _page
    _pid, _page = os.getpid(), _make_page()


_page = _make_page()
