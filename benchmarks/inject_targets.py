"""The programs that benchmarks/inject_stress.py enters. Each beats: it counts turns in a shared page."""

from __future__ import annotations

_HEAD = """
import mmap, os, sys, time
page = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 16)
turns = 0
def beat():
    global turns
    turns += 1
    page[:8] = turns.to_bytes(8, "little")
def broken(why):
    page[8:16] = b"broken\\0\\0"
    raise SystemExit(why)
"""

_BODIES = {
    "compute": """
while True:
    if sum(range(20000)) != 199990000: broken("sum")
    beat()
""",
    "floats": """
import math
def series():
    x = 0.5
    for i in range(1, 4000): x = math.sqrt(x * x + 1.0 / i)
    return x
right = series()
while True:
    if series() != right: broken("floats")
    beat()
""",
    "allocate": """
while True:
    kept = [bytearray(n) for n in range(2000)]
    if sum(map(len, kept)) != 1999000: broken("lengths")
    beat()
""",
    "sleep": "while True:\n    time.sleep(0.05)\n    beat()\n",
    "input": """
import threading
r, w = os.pipe()
def feed():
    while True: time.sleep(0.05); os.write(w, b"line\\n")
threading.Thread(target=feed, daemon=True).start()
lines = os.fdopen(r)
while True:
    if lines.readline() != "line\\n": broken("input")
    beat()
""",
    "lock": """
import threading
turn = threading.Semaphore(0)
def feed():
    while True: time.sleep(0.6); turn.release()
threading.Thread(target=feed, daemon=True).start()
while True:
    turn.acquire()
    beat()
""",
    "asyncio": """
import asyncio
async def main():
    while True:
        await asyncio.sleep(0.02)
        beat()
asyncio.run(main())
""",
    "sixteen-threads": """
import threading
def busy():
    while True: sum(range(1000))
for _ in range(16): threading.Thread(target=busy, daemon=True).start()
while True:
    if sum(range(2000)) != 1999000: broken("sum")
    beat()
""",
    "signals-500Hz": """
import signal
count = 0
def handler(*_):
    global count
    count += 1
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
while True:
    before = count
    while count < before + 20: sum(range(500))
    beat()
""",
    "signals-while-asleep": """
import signal
count = 0
def handler(*_):
    global count
    count += 1
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
while True:
    before, begun = count, time.monotonic()
    time.sleep(0.05)
    if time.monotonic() - begun < 0.05: broken("it slept too short")
    while count == before: time.sleep(0.05)   # signals merge while the machine is busy, but come
    beat()
""",
    "deep-recursion": """
def dive(n): return 0 if n == 0 else 1 + dive(n - 1)
while True:
    if dive(900) != 900: broken("depth")
    beat()
""",
    "files-and-processes": """
import subprocess, tempfile
while True:
    with tempfile.TemporaryFile() as file:
        file.write(b"x" * 100000); file.seek(0)
        if len(file.read()) != 100000: broken("file")
    if subprocess.call(["true"]) != 0: broken("child")
    beat()
""",
}

_TORCH = {
    "torch-train": """
import torch
torch.set_num_threads(2)
model = torch.nn.Sequential(torch.nn.Linear(256, 256), torch.nn.ReLU(), torch.nn.Linear(256, 1))
step = torch.optim.SGD(model.parameters(), 1e-3)
data = torch.randn(128, 256)
while True:
    loss = model(data).square().mean(); step.zero_grad(); loss.backward(); step.step()
    if not torch.isfinite(loss): broken("loss")
    beat()
""",
    "torch-loader": """
import torch
from torch.utils.data import DataLoader, TensorDataset
data = TensorDataset(torch.arange(512.0))
while True:
    total = sum(float(x.sum()) for (x,) in DataLoader(data, batch_size=64, num_workers=2))
    if total != 130816.0: broken("loader")
    beat()
""",
}


def program(kind: str) -> str:
    """The source of the target of this kind."""
    return _HEAD + (_BODIES | _TORCH)[kind]


KINDS = tuple(_BODIES)
TORCH_KINDS = tuple(_TORCH)
