"""Python's and glibc's memory management for a process that turns over megabytes per cycle."""

import ctypes
import gc
from typing import Final

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
"""Parameters of glibc's mallopt(3)."""

_libc: Final = ctypes.CDLL(None)


def tune() -> None:
    """Sets both up, once per process.

    The collector walks every account and id again and again at its default thresholds, and cycles are rare here. The
    records are allocated in one thread and freed in another: with an arena per thread glibc gives the pages back and
    takes them again, which costs a fifth of the throughput (docs/explanation/performance.md).
    """
    gc.set_threshold(100_000, 10, 1000)
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(M_ARENA_MAX, 1)
        _libc.mallopt(M_TRIM_THRESHOLD, 1 << 29)
        _libc.mallopt(M_MMAP_THRESHOLD, 1 << 25)


def settle() -> None:
    """Behind a recovery: what it built stays, so the collector need not walk it; what it only read goes back."""
    gc.collect()
    gc.freeze()
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)
