"""Parking on a real GPU: a process without torch holds memory, is parked, and comes back with it."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.gpu
MIB = 1024**2
HELD = 1024 * MIB

# Fills a GiB with a pattern, and each time that it reads a line tells whether it is there yet.
_JOB = """
import ctypes, sys
cuda = ctypes.CDLL('libcuda.so.1')
def ask(name, *arguments):
    code = getattr(cuda, name)(*arguments)
    assert code == 0, (name, code)
size, device, context, memory = int(sys.argv[1]), ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
ask('cuInit', 0)
ask('cuDeviceGet', ctypes.byref(device), 0)
ask('cuDevicePrimaryCtxRetain', ctypes.byref(context), device)
ask('cuCtxSetCurrent', context)
ask('cuMemAlloc_v2', ctypes.byref(memory), ctypes.c_size_t(size))
ask('cuMemsetD8_v2', memory, ctypes.c_ubyte(0x5A), ctypes.c_size_t(size))
ask('cuCtxSynchronize')
seen = ctypes.create_string_buffer(size)
print('ready', flush=True)
for line in sys.stdin:
    ask('cuMemcpyDtoH_v2', seen, memory, ctypes.c_size_t(size))
    print('whole' if seen.raw == bytes([0x5A]) * size else 'damaged', flush=True)
"""


@pytest.fixture
def job():
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        pytest.skip("this machine has no NVIDIA driver")
    made = subprocess.Popen(
        [sys.executable, "-c", _JOB, str(HELD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if made.stdout.readline() != "ready\n":
        pytest.skip("CUDA cannot be used here")
    yield made
    made.kill()
    made.communicate()


def gpudoctor(home, *arguments: str) -> subprocess.CompletedProcess:
    import os

    return subprocess.run(
        [sys.executable, "-m", "gpudoctor", *arguments],
        env={**os.environ, "XDG_STATE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_parked_process_gives_its_memory_back_and_gets_it_back_whole(job, tmp_path):
    checked = gpudoctor(tmp_path, "park", str(job.pid), "--dry-run")
    if checked.returncode != 0:
        pytest.skip(f"it cannot be parked here:\n{checked.stdout}{checked.stderr}")
    done = gpudoctor(tmp_path, "park", str(job.pid), "--yes", "--json")
    report = json.loads(done.stdout)
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    assert report["results"][0]["outcome"] == "parked"
    assert report["memory"][0]["freed_bytes"] >= HELD
    listed = json.loads(gpudoctor(tmp_path, "ps", "--json").stdout)
    assert job.pid not in [row["pid"] for row in listed["processes"]]
    assert [row["pid"] for row in listed["parked"]] == [job.pid]
    time.sleep(1)
    assert job.poll() is None

    done = gpudoctor(tmp_path, "unpark", "--all", "--yes", "--json")
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    job.stdin.write("look\n")
    job.stdin.flush()
    assert job.stdout.readline() == "whole\n"


def test_a_reset_of_a_gpu_in_use_is_refused_without_running_anything(job, tmp_path):
    done = gpudoctor(tmp_path, "reset", "0", "--json")
    report = json.loads(done.stdout)
    assert report["outcome"] == "refused"
    assert job.poll() is None
