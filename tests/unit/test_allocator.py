"""What a recovery only reads does not stay with the process."""

from pathlib import Path

import pytest

from processor.stream import allocator

PIECES = 50_000
PIECE_BYTES = 2_000


def own_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0])


@pytest.mark.skipif(not hasattr(allocator._libc, "malloc_trim"), reason="only glibc gives memory back on demand")
def test_memory_that_was_used_between_what_stays_goes_back_to_the_system() -> None:
    """What stays lies behind what goes, so that the heap cannot just be cut short."""
    pieces = [bytes([number % 256]) * PIECE_BYTES for number in range(PIECES)]
    stays = pieces[-1]
    full_kib = own_kib()
    del pieces
    allocator.settle()
    assert stays
    assert full_kib - own_kib() > PIECES * PIECE_BYTES / 1024 * 0.8
