"""Runs what gpudoctor runs in a user's Python under one torch after the other, from 2.0 on.

    python -m benchmarks.aarch64.torch_versions [VERSION …]

torch's wheels for aarch64 hold no CUDA up to 2.10 and are small, so that an emulated machine with
Debian's own kernel and Python can try them all. Needs root (mmdebstrap) and Debian's packages
mmdebstrap, qemu-system-arm and cpio; takes some ten minutes a version, and downloads 0.3 GB for it.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from benchmarks.aarch64 import torch_guest
from benchmarks.aarch64.emulated import MIRROR, NOT_NEEDED, REPOSITORY
from benchmarks.common import BIN, RESULTS, machine
from gpudoctor.profile import payload
from gpudoctor.reclaim.payloads import empty_cache

VERSIONS = ("2.0.1", "2.2.2", "2.4.1", "2.7.1", "2.10.0")
PACKAGES = "python3.11,busybox-static,libgomp1,libstdc++6,linux-image-arm64"
PURE = ("filelock", "sympy", "networkx", "jinja2", "MarkupSafe", "typing_extensions", "fsspec")
BESIDE = (*PURE, "mpmath<1.4", "numpy<2", "msgspec", "psutil")
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mkdir -p /dev/shm
/bin/busybox mount -t tmpfs tmpfs /dev/shm
/bin/busybox ip link set lo up
export PATH=/usr/bin:/bin USER=root HOME=/tmp PYTHONPATH=/opt/source:/opt/site PYTHONDONTWRITEBYTECODE=1
cd /tmp
/usr/bin/python3.11 -m benchmarks.aarch64.torch_guest {runs} 2>&1
/bin/busybox poweroff -f
"""


def base(folder: Path) -> tuple[Path, Path]:
    """The kernel, and the system without torch."""
    root, kernel = folder / "root", folder / "vmlinuz"
    if kernel.exists():
        return kernel, root
    command = ["mmdebstrap", "--mode=root", "--arch=arm64", "--variant=extract"]
    command += [f"--include={PACKAGES}", "bookworm", str(root), f"deb {MIRROR} bookworm main"]
    subprocess.run(command, check=True)
    found = next((root / "boot").glob("vmlinuz-*"))
    for name in ("proc", "sys", "dev", "tmp", "run", "opt/payloads"):
        (root / name).mkdir(parents=True, exist_ok=True)
    wheels(folder / "beside", root / "opt/site", BESIDE)
    # What is sent into a running process, as `empty-cache` and `profile --pid` send it.
    (root / "opt/payloads/cache.py").write_text(empty_cache(deep=True))
    (root / "opt/payloads/trace.py").write_text(payload.source(Path("/tmp/trace.json"), 1.0))
    shutil.copy(found, kernel)
    for name in NOT_NEEDED:
        shutil.rmtree(root / name, ignore_errors=True)
    return kernel, root


def wheels(folder: Path, site: Path, names: tuple[str, ...]) -> None:
    """Download wheels for the emulated machine, unless they are there, and unpack them with byte code."""
    if not folder.exists():
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
        command += ["--only-binary", ":all:", "--python-version", "3.11", "--platform", "any"]
        for kind in ("manylinux2014", "manylinux_2_17", "manylinux_2_28"):
            command += ["--platform", f"{kind}_aarch64"]
        subprocess.run([*command, *names], check=True)
    for wheel in folder.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(site)
    # Compiling torch's own Python takes an emulated processor longer than all the rest.
    command = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", str(site)]
    subprocess.run([_python311(), *command], check=False, stdout=subprocess.DEVNULL)


def _python311() -> str:
    found = sys.executable if sys.version_info[:2] == (3, 11) else shutil.which("python3.11")
    if found is None:
        raise SystemExit("a Python 3.11 is needed, to make byte code for that of the machine")
    return found


def image(folder: Path, root: Path, version: str, runs: list[str]) -> Path:
    """The first file system: the base, this torch, and the source as it is now."""
    site = folder / f"torch-{version}"
    source = folder / f"source-{version}"
    shutil.rmtree(source, ignore_errors=True)
    for package in ("gpudoctor", "benchmarks"):
        shutil.copytree(
            REPOSITORY / package,
            source / "opt/source" / package,
            ignore=shutil.ignore_patterns("__pycache__", "results"),
        )
    (source / "init").write_text(INIT.format(runs=" ".join(runs)))
    (source / "init").chmod(0o755)
    target = folder / f"initrd-{version}"
    with target.open("wb") as archive:
        # The kernel unpacks archives that follow one another into one file system.
        for part in (root, site, source):
            pack = "find . | cpio -o -H newc --quiet"
            subprocess.run(["sh", "-c", pack], cwd=part, check=True, stdout=archive)
    return target


def run(kernel: Path, initrd: Path, limit_s: float) -> list[str]:
    """What the machine prints until it turns itself off."""
    command = [
        "qemu-system-aarch64",
        "-M",
        "virt",
        "-cpu",
        "neoverse-n1",
        "-smp",
        "2",
        "-m",
        "6144",
    ]
    command += ["-nographic", "-nic", "none", "-no-reboot", "-kernel", str(kernel)]
    command += ["-initrd", str(initrd), "-append", "console=ttyAMA0 quiet panic=-1"]
    printed = initrd.with_name(initrd.name + ".printed")
    with printed.open("wb") as output:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, timeout=limit_s)
    return printed.read_text(errors="replace").splitlines()


def sessions(lines: list[str], folder: Path) -> list[dict[str, Any]]:
    """One row for each sampled run, its session unpacked and read.

    Raises:
        SystemExit: the machine did not come to its end.
    """
    rows: list[dict[str, Any]] = []
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind == "RUN":
            rows.append(json.loads(rest))
        elif kind == "FILES":
            whole = io.BytesIO(base64.b64decode(rest))
            with tarfile.open(fileobj=whole) as archive:
                archive.extractall(folder, filter="data")
            rows[-1]["session"] = read(folder / rows[-1]["name"])
    if "END true" not in lines:
        raise SystemExit("\n".join(line[:300] for line in lines[-20:]))
    return rows


def one_by_one(
    folder: Path, root: Path, version: str, seen: Path, wanted: list[str]
) -> list[dict[str, Any]]:
    """The runs without a machine of their own: the emulator translates one process, and its forks."""
    site = folder / f"torch-{version}" / "opt/site"
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    environ["PYTHONPATH"] = f"{REPOSITORY}:{site}:{root / 'opt/site'}"
    start = ["qemu-aarch64", "-L", str(root), str(root / "usr/bin/python3.11")]
    rows = []
    for name, command in torch_guest.plain(root / "opt/payloads", seen).items():
        # torch 2.0 has no hooks that could be tested.
        if name not in wanted or (name == "modules" and version.startswith("2.0.")):
            continue
        log, begun = seen / f"{name}.log", time.monotonic()
        with log.open("wb") as output:
            done = subprocess.run(
                [*start, *command], env=environ, cwd=seen, stdout=output, stderr=output
            )
        row = {"name": name, "code": done.returncode, "seconds": time.monotonic() - begun}
        row["output"] = log.read_text(errors="replace")
        result = seen / f"{name}.json"
        row["result"] = json.loads(result.read_bytes()) if result.exists() else None
        rows.append(row)
    return rows


def shortened(row: dict[str, Any]) -> dict[str, Any]:
    """A row as it is kept: of what was printed only the words that matter, or the end if it failed."""
    output = str(row.pop("output"))
    lines = [line for line in output.splitlines() if line.startswith(WORDS)]
    row["told"] = [line[:600] for line in lines]
    if row["code"]:
        row["output"] = output[-1500:]
    return row


WORDS = ("CACHE ", "TRACE ", "AGENT ", "trained ", '@gpudoctor-probe {"failure"', '{"results"')


def read(session: Path) -> dict[str, Any]:
    """What `gpudoctor profile --load` finds in it."""
    done = subprocess.run(
        [str(BIN / "gpudoctor"), "profile", "--load", str(session), "--json"],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return {"error": done.stderr}
    told = json.loads(done.stdout)
    window, torch = told["window"] or {}, told["torch"] or {}
    return {
        "ended": told["run"]["how"],
        "torch": torch.get("version"),
        "torch_error": torch.get("error"),
        "steps": told["steps"]["count"],
        "steps_are": told["steps"]["boundary"],
        "operators": len(window.get("operators") or ()),
        "shapes": len(window.get("shapes") or ()),
        "modules": len(told["modules"] or ()),
        "workers": sum(len(one.get("workers") or ()) for one in told["loaders"]),
        "functions": len(told["functions"]),
        "notes": told["notes"],
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("versions", nargs="*", default=list(VERSIONS))
    parser.add_argument("--sampled", nargs="*", default=list(torch_guest.SAMPLED))
    parser.add_argument("--plain", nargs="*", default=list(torch_guest.PLAIN))
    parser.add_argument("--only-sampled", dest="plain", action="store_const", const=[])
    parser.add_argument("--keep", type=Path, help="a folder for what was downloaded and seen")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds for one version")
    options = parser.parse_args()
    path, bad = RESULTS / "torch_versions.json", 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        kernel, root = base(folder)
        for version in options.versions:
            seen = folder / f"seen-{version}"
            seen.mkdir(exist_ok=True)
            site = folder / f"torch-{version}" / "opt/site"
            if not (site / "torch").exists():
                wheels(folder / f"wheels-{version}", site, (f"torch=={version}",))
            rows = one_by_one(folder, root, version, seen, options.plain)
            if options.sampled:
                initrd = image(folder, root, version, options.sampled)
                rows += sessions(run(kernel, initrd, options.limit), seen)
            rows = [shortened(row) for row in rows]
            for row in rows:
                print(version, row["name"], row["code"], round(row["seconds"]), flush=True)
            bad += sum(row["code"] != 0 for row in rows)
            keep(path, version, rows)
    return int(bad > 0)


def keep(path: Path, version: str, rows: list[dict[str, Any]]) -> None:
    """Write what was seen of a version beside what is there of others, and of its other runs."""
    known = json.loads(path.read_text())["versions"] if path.exists() else {}
    kept = {row["name"]: row for row in known.get(version, [])}
    known[version] = list((kept | {row["name"]: row for row in rows}).values())
    ordered = dict(sorted(known.items(), key=lambda one: [int(part) for part in one[0].split(".")]))
    told = {"machine": machine(), "versions": ordered}
    path.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
