"""What the readers are meant to be given: a fuzzer goes on from there."""

from __future__ import annotations

import json
from typing import Any

from gpudoctor.model.environment import GpuRow
from gpudoctor.model.readings import DeviceFacts, MigInstance, MigReading
from tests.profile import build

UUID = "GPU-6e1f0d0c-0000-4de0-b0de-000000000000"
PART = MigInstance("MIG-6e1f0d0c-0000-5de0-b0de-000000000000", 1, 0, "1g.5gb", 5 * 2**30, 0)
GPUS = (
    GpuRow(DeviceFacts(UUID, 0, "NVIDIA H100", "0000:00:00.0"), MigReading(False)),
    GpuRow(
        DeviceFacts(UUID[:-1] + "1", 1, "NVIDIA H100", "0000:01:00.0"), MigReading(True, (PART,))
    ),
)
WINDOW = {
    "state": "done",
    "trace": "trace.json",
    "steps": 2,
    "seconds": 0.1,
    "modules": "modules.json",
    "memory_history": "memory.json",
}
ARROW = {"cat": "fwdbwd", "name": "fwdbwd", "pid": 77, "tid": 77}
SUMS = {"calls": 1, "self_ns": 10_000, "total_ns": 20_000, "output_bytes": 64}
MODULES = {
    "modules": [
        SUMS | {"root": "Net", "name": "", "kind": "Net"},
        SUMS | {"root": "Net", "name": "layers.0", "kind": "Conv2d", "parameters": 9},
        SUMS | {"root": "Net", "name": "head", "kind": "Linear"},
    ],
    "offset_ns": 4_000_000,
    # Module, thread, begin and end; the trace's zero is 1 ms after that of this clock.
    "calls": [
        *(0, 77, 1_000_000, 1_100_000),
        *(1, 77, 1_010_000, 1_040_000),
        *(0, 77, 1_300_000, 1_400_000),
    ],
}
TRACE = {
    "baseTimeNanoseconds": 5_000_000,
    "traceEvents": [
        build.event("aten::conv2d", 12, 20, external=3),
        build.event("ConvolutionBackward0", 210, 60),
        build.event("k", 15, 30, "kernel", 7, 3),
        {**ARROW, "ph": "s", "id": 1, "ts": 12},
        {**ARROW, "ph": "f", "id": 1, "ts": 210, "bp": "e"},
        {**ARROW, "ph": "s", "id": 2, "ts": 350},
        {**ARROW, "ph": "f", "id": 2, "ts": 12, "bp": "e"},
    ],
}
MEMORY = {
    "sites": [["/home/me/main.py", 7, "main"]],
    "segments": [
        [
            0,
            4096,
            1024,
            1024,
            [[0, 1024, 1000, "active_allocated", 0], [1024, 3072, 0, "inactive", -1]],
        ]
    ],
    "traces": [[["alloc", 0, 1024, 0], ["free_requested", 0, 1024, 0], ["alloc", 8, 64, 5]]],
    "most_entries": 100,
}
TIMELINE = {
    "interval_seconds": 0.5,
    "gpus": [
        {
            "index": 0,
            "uuid": "GPU-x",
            "name": "H100",
            "memory_total_bytes": 2**36,
            "points": [[0.0, 0.5, None, 2**30, 1.5e9, 300.0, ["hw_slowdown"]]] * 3,
            "stride": 1,
            "looks": 3,
        }
    ],
}
WORKER = {
    "format": 1,
    "pid": 5,
    "loader": 0,
    "worker": 0,
    "batches": 4,
    "busy_seconds": 2.0,
    "wait_seconds": 1.0,
    "collate_seconds": 0.5,
    "cpu_seconds": 1.0,
    "ended": True,
    "samples": {
        "interval_seconds": 0.01,
        "samples": 2,
        "functions": [["decode", "/home/me/main.py", 3, True]],
        "stacks": [[1.0, True, [[0, 4]]]],
    },
}
STACKS = {
    "shared": {
        "frames": [
            {"name": "main", "file": "/x/gpudoctor/runner/run.py", "line": 1},
            {"name": "slow", "file": "/home/me/main.py", "line": 4},
        ]
    },
    "profiles": [{"name": 'Process 77 Thread 77 "MainThread"', "samples": [[0, 1]] * 4}],
}

MAIN = 'process 10:"python -c a;b";thread (10): MainThread;'
POLICY = """at_most_per_hour = 5

[[reclaim]]
users = ["ana", "*"]
held_longer_than = "2h"
mode = "kill"
"""
WEB = """basic_auth_users:
  ana: $2b$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi
http_server_config:
  http2: false
  headers:
    X-Frame-Options: deny
"""


def _seeds() -> dict[str, Any]:
    texts = {
        "visible": f"{UUID},{PART.uuid},1",
        "settings": "[serve]\nlisten = ['127.0.0.1:9836']\n[tui]\ntheme = 'dark'\n",
        "policy": POLICY,
        "listen": "[::1]:9836",
        "webconfig": WEB,
        "authorization": "Basic eDowMTIzNDU2Nzg5YWJjZGVm",
        "request": "GET /metrics?a=b HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip;q=0\r\n\r\n",
        "pace": "pace=2.5",
        "daemon-answer": "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "moment": "2026-01-01 10:00",
        "py-spy": f"{MAIN}<module> (/home/me/job.py:20);__next__ (/x/dataloader.py:741) 30\n",
        "requirement": "nvidia-cublas[x]==13.1.0.3,>=12; platform_system == 'Linux' and extra == 'x'",
        "version": "580.95.05",
        "probe": '{"torch": {"version": "2.7.0+cu128"}}',
        "emptied": "{'python': '3.11', 'torch': '2.7', 'status': 'emptied', 'before': {0: (10, 5)}}",
        "kernel-log": "2026 NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus",
        "cpus": "0-3,8",
        "cgroup": "0::/system.slice/slurmstepd.scope/job_12/step_0\n1:x:/docker/" + "a" * 64,
        "stat": "7 (a) b) S 1 7 7 0 -1 0 0 0 0 0 1 2 0 0 20 0 1 0 99 1 1 1",
        "status": "Name:\tx\nUid:\t0\t0\t0\t0\n",
    }
    bodies = {
        "look": {"version": 1, "theme": "dark", "hidden": ["host"], "down": True},
        "trace": TRACE,
        "modules": MODULES,
        "modules-joined": MODULES,
        "memory": MEMORY,
        "worker": WORKER,
        "gpus": TIMELINE,
        "session": {**build.BODY, "window": WINDOW, "samples": WORKER["samples"]},
        "session-alone": build.BODY,
    }
    written = texts | {name: json.dumps(one) for name, one in bodies.items()}
    return {name: one.encode() for name, one in written.items()}


SEEDS: dict[str, bytes] = _seeds()
