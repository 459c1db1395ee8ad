"""Runs inside the emulated machine: all of ours that meets a user's torch, one JSON line each."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import tarfile
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
RUNNER = SOURCE / "gpudoctor" / "runner"
SCRIPT = str(SOURCE / "benchmarks" / "workloads" / "every_torch.py")
SESSIONS = Path("/tmp/sessions")
LIMIT_S = 900.0
_COLLECT = {"wait": 2, "steps": 3, "shapes": True, "ranks": False, "window": True, "modules": True}
_COLLECT |= {"interval": 0.02, "gate": None, "sample": True, "calls": False}
# A process with torch in it does what a visit would have it do: empty its cache, trace itself.
_VISITED = """
import sys, threading, torch, gpudoctor.agent, os, socket
x = torch.ones(64, 64)
def told(path):
    names = {}
    exec(open(path).read(), names)
    out = []
    one = threading.Thread(target=lambda: out.append(names["run"]()))
    one.start()
    while one.is_alive():
        x @ x
    return out[0]
print("CACHE", told(sys.argv[1]))
print("TRACE", told(sys.argv[2]))
with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
    client.connect(gpudoctor.agent.NAME.format(pid=os.getpid()))
    client.sendall(b'{"force": false, "deep": true}\\n')
    print("AGENT", client.makefile().read())
"""
_BENCH = {
    "facts": False,
    "model": "conv1d",
    "mode": "use_deterministic_algorithms",
    "device": "cpu",
    "seed": 0,
}
_BENCH |= {"channels_last": False, "amp": False, "warmup": 1, "steps": 2, "shapes": 0}
_BENCH |= {
    "check_steps": 1,
    "leave_values": True,
    "batch": 2,
    "size": 512,
}
# Not amp: oneDNN multiplies no bfloat16 on the processor that is emulated.
_SETTINGS = ("channels_last", "fused", "tf32", "deterministic")
_WHATIF = {"setting": dict.fromkeys(_SETTINGS, True) | {"num_workers": 1}}
_WHATIF |= {"warmup": 2, "steps": 3, "least_seconds": 0.0}


def watched(name: str, *arguments: str, **more: object) -> list[str]:
    """The command for a run of the script under the runner, its session under `name`."""
    (SESSIONS / name).mkdir(parents=True)
    options = {**_COLLECT, **more, "folder": str(SESSIONS / name)}
    return [str(RUNNER), json.dumps(options), "script", SCRIPT, *arguments]


SAMPLED = {
    "training": lambda: watched("training", "fork", "12"),
    "inference": lambda: watched("inference", "inference"),
    "spawned": lambda: watched("spawned", "spawn", "6", calls=True, memory_history=True),
}


PLAIN = ("probe", "visited", "cudnn", "whatif", "modules")


def plain(payloads: Path, results: Path) -> dict[str, list[str]]:
    """The commands that have no thread which looks at the stacks, and need no machine of their own."""
    bench = str(RUNNER / "bench")
    cudnn = _BENCH | {"values": str(results / "values"), "result": str(results / "cudnn.json")}
    whatif = json.dumps({**_WHATIF, "result": str(results / "whatif.json")})
    return {
        "probe": [str(SOURCE / "gpudoctor" / "host" / "probe_script.py")],
        "visited": ["-c", _VISITED, str(payloads / "cache.py"), str(payloads / "trace.py")],
        "cudnn": [bench, "train", json.dumps(cudnn)],
        "whatif": [bench, "whatif", whatif, "script", SCRIPT, "plain", "40"],
        "modules": [str(SOURCE / "tests" / "runner" / "hooks.py"), str(results)],
    }


def run(name: str, command: list[str]) -> dict[str, object]:
    """One run to its end, or to the limit; what it printed last."""
    begun, code = time.monotonic(), None
    log = Path("/tmp/output")
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                [sys.executable, *command], stdout=output, stderr=output, timeout=LIMIT_S
            )
            code = done.returncode
        except subprocess.TimeoutExpired:
            pass
    text = log.read_text(errors="replace")[-3000:]
    return {"name": name, "code": code, "seconds": time.monotonic() - begun, "output": text}


def packed(folder: Path) -> str:
    """A folder as the text of a compressed archive."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        archive.add(folder, arcname=folder.name)
    return base64.b64encode(whole.getvalue()).decode()


def main() -> None:
    for name in sys.argv[1:]:
        row = run(name, SAMPLED[name]())
        print("RUN " + json.dumps(row), flush=True)
        print(f"FILES {packed(SESSIONS / name)}", flush=True)
    print("END true", flush=True)


if __name__ == "__main__":
    main()
