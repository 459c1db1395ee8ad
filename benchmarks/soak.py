"""A long life of the daemon in a short time, on the simulated driver: what grows?

Processes come and go, GPUs fail and recover, the driver is reloaded, scrapers come, leave early and
send nonsense, front ends attach over the socket and leave, while the daemon samples as fast as it
can. After each round all is well again, and then memory, descriptors, threads and series are
counted, and whether every Xid has arrived.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import http.client
import itertools
import json
import logging
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.common import RESULTS, machine
from gpudoctor.daemon.attached import AttachedFeed
from gpudoctor.daemon.changes import Change, note
from gpudoctor.daemon.client import Client
from gpudoctor.daemon.inspector import Inspector
from gpudoctor.daemon.journal import Journal
from gpudoctor.daemon.ledger import Ledger
from gpudoctor.daemon.listen import Address, bind, parse
from gpudoctor.daemon.memory import one_arena
from gpudoctor.daemon.service import Service
from gpudoctor.errors import GpuDoctorError
from gpudoctor.history.recorder import Recorder
from gpudoctor.host.procs import LocalHost
from gpudoctor.nvml.binding import open_nvml
from gpudoctor.sampling.sampler import Sampler
from tests.nvml_sim.build import SONAME, build
from tests.nvml_sim.machine import SimMachine, SimProcess
from tests.nvml_sim.presets import FIRST_PID, eight_h100

GPUS = 4
PROCESSES = 8  # on all GPUs together; half of them are real
INTERVAL_S = 0.005
XIDS = 20
COUNTED_XID, PROBE_XID = 79, 13
PATHS = ("/metrics", "/api/v1/snapshot", "/api/v1/findings", "/api/v1/orphans", "/healthz", "/none")
NONSENSE = (
    b"\0\xff\r\n\r\n",
    b"GET / HTTP/9\r\n\r\n",
    b"POST / HTTP/1.1\r\n\r\n",
    b"GET " + b"a" * 9000,
)
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Count:
    """What the process held after a round, with all GPUs well again.

    `allocated_bytes` and `blocks` are what malloc and Python had given away: where they stand still and
    the resident memory grows, what was given back lies in too many places to be used.
    """

    samples: int
    seconds: float
    resident_bytes: int
    descriptors: int
    threads: int
    series: int
    objects: int
    allocated_bytes: int
    blocks: int


class _Mallinfo2(ctypes.Structure):
    """glibc's, from malloc.h."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
            *("uordblks", "fordblks", "keepcost"),
        )
    )


def allocated_bytes() -> int:
    """What malloc has given away and not got back."""
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = _Mallinfo2
    told = ask()
    return int(told.uordblks + told.hblkhd)


class Life:
    """What happens to the machine and to the daemon, in rounds."""

    def __init__(self, simulated: SimMachine, ledger: Ledger, port: int, path: Path) -> None:
        self.sim = simulated
        self.ledger = ledger
        self.port = port
        self.path = path
        self.sent = 0
        self.attached = 0
        self.requests = 0
        self._begun = time.monotonic()
        self._pids = itertools.count(FIRST_PID)
        self._random = random.Random(1)
        self._sleepers: list[subprocess.Popen[bytes]] = []
        self._own = psutil.Process()

    def samples(self) -> int:
        return self.ledger.view().totals.samples

    def round(self) -> Count:
        """One round of everything."""
        for _ in range(3):
            self.change_processes()
            self.scrape()
            self.wait_for_samples(10)
        self.attach()
        for trouble in (self.lose, self.reload, self.fail, self.hang):
            trouble()
            self.change_processes()
            self.scrape()
        self.until(self.well)
        self.count_xids()
        return self.count()

    def change_processes(self) -> None:
        for sleeper in self._sleepers[:2]:
            sleeper.kill()
            sleeper.wait()
        del self._sleepers[:2]
        while len(self._sleepers) < PROCESSES // 2:
            self._sleepers.append(subprocess.Popen(["sleep", "3600"]))
        pids = [sleeper.pid for sleeper in self._sleepers]
        pids += [next(self._pids) for _ in range(PROCESSES - len(pids))]
        for index, gpu in enumerate(self.sim.gpus):
            mine = pids[index::GPUS]
            gpu.processes = [SimProcess(pid, self._random.randrange(2**33), sm=7) for pid in mine]
        self.sim.save()

    def lose(self) -> None:
        gpu = self._random.randrange(GPUS)
        self.sim.lose(gpu)
        self.wait_for_samples(10)
        self.sim.find(gpu)

    def reload(self) -> None:
        self.sim.driver_away()
        self.wait_for_samples(10)
        self.sim.forget_events()
        self.sim.driver_back()
        self.until(self.well)

    def fail(self) -> None:
        self.sim.fault("nvmlDeviceGetPowerUsage", 999, self._random.randrange(GPUS))
        self.sim.fault("nvmlDeviceGetComputeRunningProcesses_v3", 4)
        self.wait_for_samples(10)
        self.sim.clear_faults()

    def hang(self) -> None:
        self.sim.hang("nvmlDeviceGetTemperatureV", 600, self._random.randrange(GPUS))
        self.sim.hang("nvmlDeviceGetTemperature", 600, self._random.randrange(GPUS))
        self.wait_for_samples(10)
        self.sim.clear_faults()

    def attach(self) -> None:
        """Two front ends at once, as terminal UIs do it; each leaves when it has seen enough."""
        client = Client(self.path)
        first = client.snapshot(oldest_s=60.0)
        feeds = [
            AttachedFeed(self.no_driver, lambda: None, found=(client, first), interval_s=0.1)
            for _ in range(2)
        ]
        seen: list[float] = []
        for feed in feeds:
            feed.subscribe(lambda snapshot: seen.append(snapshot.monotonic))
            feed.start()
        self.until(lambda: len(seen) >= 6)
        for feed in feeds:
            if feed.client is None:
                raise RuntimeError("a front end could not use the daemon")
            feed.stop()
        self.attached += len(feeds)

    def no_driver(self) -> Sampler:
        raise GpuDoctorError("a front end of the soak asks the daemon alone")

    def scrape(self) -> None:
        for path in PATHS:
            self.get(path)
        self.requests += len(NONSENSE) + 1
        for data in NONSENSE:
            with contextlib.suppress(OSError), self.connected() as client:
                client.sendall(data)
                client.recv(100)
        with self.connected() as client:  # asks, and does not wait for the answer
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")

    def connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def get(self, path: str) -> bytes:
        self.requests += 1
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            packed = {"Accept-Encoding": "gzip"} if self._random.random() < 0.5 else {}
            connection.request("GET", path, headers={"Connection": "close"} | packed)
            return connection.getresponse().read()
        finally:
            connection.close()

    def well(self) -> bool:
        view = self.ledger.view()
        used = [use for row in view.snapshot.processes for use in row.gpus] if view.snapshot else []
        return len(view.answering()) == GPUS and len(used) == PROCESSES

    def xids(self, code: int) -> int:
        totals = self.ledger.view().totals.xids
        return sum(total.count for (_, found), total in totals.items() if found == code)

    def count_xids(self) -> None:
        """Send Xids, and see that all arrive. As with a real driver, none is kept for whom is away."""
        before = self.xids(PROBE_XID)
        until = time.monotonic() + PATIENCE_S
        while self.xids(PROBE_XID) == before and time.monotonic() < until:
            self.sim.xid(0, PROBE_XID)
            self.wait_for_samples(20)
        for number in range(XIDS):
            self.sim.xid(number % GPUS, COUNTED_XID)
        self.sent += XIDS
        self.until(lambda: self.xids(COUNTED_XID) >= self.sent)

    def count(self) -> Count:
        self.wait_for_samples(3)
        gc.collect()
        body = self.get("/metrics")
        if body[:2] == b"\x1f\x8b":
            import gzip

            body = gzip.decompress(body)
        return Count(
            self.samples(),
            round(time.monotonic() - self._begun, 1),
            self._own.memory_info().rss,
            self._own.num_fds(),
            self._own.num_threads(),
            sum(1 for line in body.splitlines() if not line.startswith(b"#")),
            len(gc.get_objects()),
            allocated_bytes(),
            sys.getallocatedblocks(),
        )

    def wait_for_samples(self, number: int) -> None:
        wanted = self.samples() + number
        self.until(lambda: self.samples() >= wanted)

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not true():
            if time.monotonic() > end:
                raise TimeoutError(f"waited too long; {self.samples()} samples")
            time.sleep(0.002)

    def end(self) -> None:
        for sleeper in self._sleepers:
            sleeper.kill()
            sleeper.wait()


def summary(counts: list[Count], life: Life) -> dict[str, object]:
    """The first quarter, in which caches fill, is left out; then the halves of the rest are compared."""
    settled = counts[len(counts) // 4 :]
    half = len(settled) // 2
    early, late = settled[:half], settled[half:]

    def grown(name: str) -> float:
        before = statistics.median(getattr(one, name) for one in early)
        return statistics.median(getattr(one, name) for one in late) - before

    names = (
        "resident_bytes",
        "allocated_bytes",
        "blocks",
        "descriptors",
        "threads",
        "series",
        "objects",
    )
    samples = late[0].samples - early[0].samples
    return {
        "samples": counts[-1].samples,
        "seconds": counts[-1].seconds,
        "rounds": len(counts),
        "requests": life.requests,
        "attached": life.attached,
        "xids_sent": life.sent,
        "xids_counted": life.xids(COUNTED_XID),
        "growth": {name: grown(name) for name in names},
        "growth_over_samples": samples,
        "counts": [asdict(one) for one in counts],
    }


def live(life: Life, samples: int, out: Path) -> None:
    """Rounds until there are so many samples; then the result, and the daemon's end."""
    failed = None
    counts: list[Count] = []
    try:
        while not counts or counts[-1].samples < samples or len(counts) < 4:
            counts.append(life.round())
    except Exception as error:  # noqa: BLE001 - it is told; the daemon must end in any case
        failed = f"{type(error).__name__}: {error}"
    finally:
        life.end()
        found = summary(counts, life) if len(counts) >= 4 else {"rounds": len(counts)}
        result = {"title": "A long life in short", **machine(), "failed": failed, **found}
        out.write_text(json.dumps(result, indent=2) + "\n")
        os.kill(os.getpid(), signal.SIGTERM)


def main(arguments: list[str]) -> int:
    """Live, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=RESULTS / "soak.json")
    chosen = parser.parse_args(arguments)
    logging.getLogger("gpudoctor").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as folder:
        library = ctypes.CDLL(str(build() / SONAME), mode=ctypes.RTLD_GLOBAL)
        simulated = eight_h100(0)
        del simulated.gpus[GPUS:]
        simulated.write(Path(folder) / "state")
        library.gpudoctor_sim_set_state(str(Path(folder) / "state").encode())
        serve(simulated, Path(folder), chosen.samples, chosen.out)
    return show(json.loads(chosen.out.read_text()))


def serve(simulated: SimMachine, folder: Path, samples: int, out: Path) -> None:
    """What `gpudoctor serve` puts together, with a shorter interval than it allows."""
    one_arena()
    ledger = Ledger(interval_s=INTERVAL_S, process_rows=PROCESSES)
    recorder = Recorder(folder / "history.sqlite3")

    def record(change: Change) -> None:
        if (noted := note(change)) is not None:
            recorder.note(noted)

    journal = Journal([record])
    inspector = Inspector(ledger, interval_s=2.0, tell=journal.add_inspection)
    recorder.start()
    inspector.start()
    listening = bind(Address("127.0.0.1", 0))
    path = folder / "socket"
    local = bind(parse(f"unix:{path}"))
    life = Life(simulated, ledger, listening.getsockname()[1], path)

    def sampler() -> Sampler:
        return Sampler(open_nvml(), LocalHost(), interval_s=INTERVAL_S, reopen=open_nvml)

    service = Service(ledger, sampler, (recorder.add, journal.add, inspector.add))
    living = threading.Thread(target=live, args=(life, samples, out), name="life")
    service.run((listening, local), living.start)
    living.join()
    inspector.stop()
    recorder.stop()
    listening.close()
    local.close()


def show(result: dict[str, object]) -> int:
    for name, value in result.items():
        if name != "counts":
            print(f"{name:20} {value}")
    return 1 if result["failed"] or result["xids_sent"] != result["xids_counted"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
