"""The C library's heap, tested in processes of their own: a setting holds for a process's whole life."""

import subprocess
import sys

import pytest

COUNT_HEAPS = """
import ctypes, sys, threading
from realtime.process import heap

if sys.argv[1] == "shared":
    heap.share_among_threads()
elif sys.argv[1] == "as a server":
    import config.asgi
everybody = threading.Barrier(8)

def allocate():
    everybody.wait()
    kept = [bytearray(2_000) for _ in range(200)]
    everybody.wait()
    kept.clear()

threads = [threading.Thread(target=allocate) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
stdout = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, stdout)
libc.fflush(stdout)
"""

GIVE_BACK = """
from realtime.process import heap
from realtime.metrics.vitals import resident_bytes

kept = [bytearray(2_000) for _ in range(50_000)]
full = resident_bytes()
kept[:] = kept[::100]  # all over the heap
free = resident_bytes()
heap.give_back()
print(full, free, resident_bytes())
"""


def said_by(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


@pytest.mark.acceptance
@pytest.mark.parametrize(("how", "is_one"), [("shared", True), ("as a server", True), ("as it is", False)])
def test_threads_share_a_heap(how, is_one):
    assert (said_by(COUNT_HEAPS, how).count("<heap nr=") == 1) is is_one


@pytest.mark.acceptance
def test_free_memory_between_kept_objects_is_given_back():
    full, free, after = map(int, said_by(GIVE_BACK).split())

    assert free > 0.8 * full
    assert after < 0.6 * free
