from __future__ import annotations

import subprocess
import sys

import pytest

# msgspec alone dies of this in about two of three starts; so once in a hundred it would pass five.
AT_ONCE = """
import sys, threading
sys.setswitchinterval(1e-6)
import msgspec
from gpudoctor.model.decoding import convert, decoder
from gpudoctor.model.snapshot import Snapshot
from tests.builders import snapshot
data = msgspec.json.encode(snapshot())
plain = msgspec.to_builtins(snapshot())
ways = [{ways}]
gate = threading.Barrier(8)
seen = []
def read(way):
    gate.wait()
    seen.append(way())
threads = [threading.Thread(target=read, args=[ways[number % len(ways)]]) for number in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert seen == [snapshot()] * 8
"""
DECODED = "lambda: decoder(Snapshot).decode(data)"
CONVERTED = "lambda: convert(plain, Snapshot)"


@pytest.mark.parametrize("ways", [DECODED, CONVERTED, f"{DECODED}, {CONVERTED}"])
def test_threads_that_read_a_type_for_the_first_time_at_once_all_get_their_value(ways):
    for _ in range(4):
        program = AT_ONCE.format(ways=ways)
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
