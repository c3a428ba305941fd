"""The C library's memory, where larger objects live: one heap for all threads, and what is free goes back.

With a heap for each thread, as glibc would have it, what is freed in one is of no use to the others; and what
is free between two objects in use stays with the process for good. It would grow for hours by nothing.
"""

from __future__ import annotations

import contextlib
import ctypes

#: glibc's numbers for `mallopt`.
_M_ARENA_MAX = -8
_M_MMAP_THRESHOLD = -3
#: What is larger lives outside of the heap and goes back when it is freed: the 19 MB of a password's hash.
#: glibc would take it into the heap from its second time on.
LARGE_BYTES = 4 * 1024 * 1024


def share_among_threads() -> None:
    """Once, before there are threads."""
    with contextlib.suppress(OSError, AttributeError):  # other C libraries have no such thing
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


def give_back() -> None:
    """Return whole free pages to the system: 3 ms for a heap of 270 MB."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
