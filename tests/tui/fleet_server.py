"""An HTTP server that answers Prometheus's query API from a small fleet."""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GIB = 2.0**30
# By machine: answers samples, (utilisation, used GiB, processes) of each GPU.
MACHINES = {
    "busy:9836": (1, [(0.9, 70, 1), (0.8, 60, 1)]),
    "idle:9836": (1, [(0.0, 40, 1), (0.0, 0, 0)]),
    "free:9836": (1, [(0.0, 0, 0), (0.0, 0, 0)]),
    "sick:9836": (0, [(0.5, 10, 2), (0.4, 12, 1)]),
}
GONE = "gone:9836"


class FleetServer(ThreadingHTTPServer):
    """`status` other than 200 refuses all, `delay_s` holds answers back, `machines` may be changed."""

    daemon_threads = True
    status = 200
    delay_s = 0.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.machines = dict(MACHINES)
        self.asked = 0
        self.free = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def rows(self, query: str):
        """(labels, value) of each series that the query finds."""
        for name, (samples, gpus) in self.machines.items():
            if "{instance=" in query and f'{{instance="{name}"}}' not in query:
                continue
            yield from _of_machine(query, {"instance": name}, samples, gpus)
        if "last_over_time" in query:
            yield {"instance": GONE}, 1


def _of_machine(query, labels, samples, gpus):
    down = sum(1 for _ in gpus) if not samples else 0
    single = {
        "max by (instance) (gpudoctor_sampling_up": samples,
        "max by (instance) (last_over_time": samples,
        "count by (instance) (gpudoctor_gpu_info": len(gpus),
        "sum by (instance) (1 - gpudoctor_gpu_up": down,
        "sum by (instance) (sum by (instance, uuid)": sum(gpu[2] == 0 for gpu in gpus),
        "count by (instance) ((gpudoctor_gpu_memory_used": sum(
            gpu[0] == 0 and gpu[1] > 4 for gpu in gpus
        ),
        "avg by (instance) (gpudoctor_gpu_utilization": sum(gpu[0] for gpu in gpus) / len(gpus),
        "sum by (instance) (gpudoctor_gpu_memory_used": sum(gpu[1] for gpu in gpus) * GIB,
        "sum by (instance) (gpudoctor_gpu_memory_total": 80 * GIB * len(gpus),
        "sum by (instance) (gpudoctor_gpu_power": 300.0 * len(gpus),
        "max by (instance) (gpudoctor_gpu_temperature": 61,
        "sum by (instance) (gpudoctor_gpu_processes": sum(gpu[2] for gpu in gpus),
    }
    for start, value in single.items():
        if query.startswith(start) and (value or "count" not in start):
            yield labels, value
    for number, (busy, held, processes) in enumerate(gpus):
        of_gpu = {
            "gpudoctor_gpu_info": 1,
            "gpudoctor_gpu_up": samples,
            "gpudoctor_gpu_utilization_ratio": busy,
            "max_over_time(gpudoctor_gpu_utilization_ratio": busy,
            "gpudoctor_gpu_memory_used_bytes": held * GIB,
            "gpudoctor_gpu_memory_total_bytes": 80 * GIB,
            "gpudoctor_gpu_power_usage_watts": 300,
            "sum by (uuid) (gpudoctor_gpu_processes": processes,
            "gpudoctor_user_memory_used_bytes": held * GIB,
        }
        facts = {
            "uuid": f"GPU-{number}",
            "index": str(number),
            "name": "NVIDIA H100",
            "user": "ana",
        }
        for start, value in of_gpu.items():
            if query.startswith(start + "{") and (value or "user" not in start):
                yield {**labels, **facts}, value


class _Handler(BaseHTTPRequestHandler):
    server: FleetServer

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        query = urllib.parse.parse_qs(body)["query"][0]
        self.server.asked += 1
        if self.server.delay_s:
            self.server.free.wait(self.server.delay_s)
        result = [
            {"metric": labels, "value": [time.time(), str(value)]}
            for labels, value in self.server.rows(query)
        ]
        self.send_response(self.server.status)
        self.end_headers()
        told = {"status": "success", "data": {"resultType": "vector", "result": result}}
        self.wfile.write(b"" if self.server.status != 200 else json.dumps(told).encode())

    def log_message(self, *arguments):
        pass
