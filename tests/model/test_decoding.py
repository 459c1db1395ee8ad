from __future__ import annotations

import subprocess
import sys

# msgspec alone dies of this in about two of three starts; so once in a hundred it would pass five.
AT_ONCE = """
import sys, threading
sys.setswitchinterval(1e-6)
import msgspec
from gpudoctor.model.decoding import decoder
from gpudoctor.model.snapshot import Snapshot
from tests.builders import snapshot
data = msgspec.json.encode(snapshot())
gate = threading.Barrier(8)
seen = []
def read():
    gate.wait()
    seen.append(decoder(Snapshot).decode(data))
threads = [threading.Thread(target=read) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert seen == [snapshot()] * 8
"""


def test_threads_that_decode_a_type_for_the_first_time_at_once_all_get_their_value():
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
