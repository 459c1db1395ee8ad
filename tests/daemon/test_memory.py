from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

# Ten threads that hold memory at the same time, and how many arenas that took.
THREADS = """
import ctypes, os, sys, threading
from gpudoctor.daemon.memory import one_arena
if "one" in sys.argv:
    one_arena()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.fdopen.restype = ctypes.c_void_p
all_here = threading.Barrier(11)
def hold():
    all_here.wait()
    libc.malloc(ctypes.c_size_t(50_000))
    all_here.wait()
for _ in range(10):
    threading.Thread(target=hold, daemon=True).start()
all_here.wait()
all_here.wait()
out = ctypes.c_void_p(libc.fdopen(os.dup(1), b"w"))
libc.malloc_info(0, out)
libc.fclose(out)
"""


def arenas(*arguments, **more):
    done = subprocess.run(
        [sys.executable, "-c", THREADS, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={name: told for name, told in os.environ.items() if name != "MALLOC_ARENA_MAX"} | more,
    )
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc has arenas")
def test_all_threads_share_one_arena_unless_the_environment_says_otherwise():
    assert arenas() > 1
    assert arenas("one") == 1
    assert arenas("one", MALLOC_ARENA_MAX="3") > 1
