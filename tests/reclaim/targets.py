"""Programs that the tests of visits enter."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

OLDER = ("3.7", "3.8")
PYTHONS = [
    sys.executable,
    *map(str, sorted((Path.home() / ".pyenv/versions").glob("3.*/bin/python"))),
    *filter(None, (shutil.which(f"python3.{minor}") for minor in range(7, 14))),
]


def _version(python: str) -> str:
    asked = subprocess.run([python, "-V"], capture_output=True, text=True)
    return ".".join(asked.stdout.split()[-1].split(".")[:2]) if asked.returncode == 0 else ""


_VERSIONS = {python: _version(python) for python in PYTHONS}
SUPPORTED = [one for one in PYTHONS if _VERSIONS[one][2:] in map(str, range(9, 14))]
TOO_OLD = [one for one in PYTHONS if _VERSIONS[one] in OLDER]

WAITS = {
    "computes": "x = 0\nwhile True: x += 1",
    "allocates": "while True: [object() for _ in range(1000)]",
    "sleeps": "import time\ntime.sleep(600)",
    "reads": "input()",
    "locks": "import threading\nlock = threading.Lock()\nlock.acquire(); lock.acquire()",
    "selects": "import select\nselect.select([], [], [])",
    "loops-events": "import asyncio\nasyncio.run(asyncio.sleep(600))",
    "joins": "import threading, time\nt = threading.Thread(target=time.sleep, args=(600,))\n"
    "t.start(); t.join()",
}
ECHO = "def run():\n    import sys\n    return sys.version.split()[0]\n"


def started(children, code: str, python: str = sys.executable) -> int:
    pid = children.python(f"print('ready')\n{code}", python=python, stdin=subprocess.PIPE)
    time.sleep(0.05)
    return pid
