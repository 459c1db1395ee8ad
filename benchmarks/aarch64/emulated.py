"""Enters processes on an emulated aarch64 machine with Debian's own kernel and Python, and counts.

    python -m benchmarks.aarch64.emulated [--tries 20]

Needs root (mmdebstrap) and Debian's packages mmdebstrap, qemu-system-arm and cpio. An emulator shows
whether registers, calls and the kernel's rules are right. It does not show what a real processor's
memory ordering and caches do.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, machine

REPOSITORY = Path(__file__).resolve().parents[2]
MIRROR = "http://deb.debian.org/debian"
PACKAGES = "python3.11,busybox-static,linux-image-arm64"
NOT_NEEDED = ("lib/modules", "boot", "usr/share/doc", "usr/share/locale", "usr/share/man", "var")
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
export PATH=/usr/bin:/bin HOME=/tmp PYTHONPATH=/opt/source:/opt/site PYTHONDONTWRITEBYTECODE=1
/usr/bin/python3.11 -m benchmarks.aarch64.guest {tries} 2>&1
/bin/busybox poweroff -f
"""


def build(folder: Path, tries: int) -> tuple[Path, Path]:
    """The kernel and the first file system, which holds all."""
    root, kernel, image = folder / "root", folder / "vmlinuz", folder / "initrd"
    command = ["mmdebstrap", "--mode=root", "--arch=arm64", "--variant=extract"]
    command += [f"--include={PACKAGES}", "bookworm", str(root), f"deb {MIRROR} bookworm main"]
    subprocess.run(command, check=True)
    shutil.copy(next((root / "boot").glob("vmlinuz-*")), kernel)
    for name in NOT_NEEDED:
        shutil.rmtree(root / name, ignore_errors=True)
    for name in ("proc", "sys", "dev", "tmp", "run"):
        (root / name).mkdir(exist_ok=True)
    for name in ("true", "sh", "cat", "sleep"):
        if not (root / "bin" / name).exists():
            (root / "bin" / name).symlink_to("busybox")
    for package in ("gpudoctor", "benchmarks"):
        shutil.copytree(REPOSITORY / package, root / "opt/source" / package)
    _wheels(folder / "wheels", root / "opt/site")
    (root / "init").write_text(INIT.format(tries=tries))
    (root / "init").chmod(0o755)
    pack = "find . | cpio -o -H newc --quiet | gzip -1 > ../initrd"
    subprocess.run(["sh", "-c", pack], cwd=root, check=True)
    return kernel, image


def _wheels(folder: Path, site: Path) -> None:
    names = [f"{name}=={importlib.metadata.version(name)}" for name in ("msgspec", "psutil")]
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    command += ["--only-binary", ":all:", "--python-version", "3.11"]
    command += ["--platform", "manylinux2014_aarch64", *names]
    subprocess.run(command, check=True)
    for wheel in folder.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(site)


def run(kernel: Path, image: Path, limit_s: float) -> list[str]:
    """What the machine prints until it turns itself off."""
    command = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", "2048"]
    command += ["-nographic", "-nic", "none", "-no-reboot", "-kernel", str(kernel)]
    command += ["-initrd", str(image), "-append", "console=ttyAMA0 quiet panic=-1"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=limit_s
    )
    return done.stdout.splitlines()


def understood(lines: list[str]) -> dict[str, Any]:
    """The results among the lines.

    Raises:
        SystemExit: the machine did not come to its end.
    """
    found: dict[str, list[Any]] = {"KERNEL": [], "SIGNAL": [], "ROW": [], "END": []}
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind in found:
            found[kind].append(json.loads(rest))
    if not found["END"]:
        raise SystemExit("\n".join(lines[-20:]))
    rows = found["ROW"]
    totals = {name: sum(row[name] for row in rows) for name in ("tries", "done", "cancelled")}
    totals |= {"lost": sum(row["lost"] is not None for row in rows)}
    totals |= {"errors": sum(len(row["errors"]) for row in rows)}
    totals |= {"wrong_counts": sum(row["wrong_counts"] for row in rows), "targets": len(rows)}
    emulated = {"processor": "qemu cortex-a72", "kernel": found["KERNEL"][0]}
    return {
        "emulated": emulated,
        "signal_during_a_visit_handled": found["SIGNAL"][0],
        "totals": totals,
        "rows": rows,
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kernel, image = build(Path(folder), options.tries)
        told = understood(run(kernel, image, options.limit))
    (RESULTS / "inject_aarch64.json").write_text(json.dumps(machine() | told, indent=2) + "\n")
    print(told["totals"])
    totals = told["totals"]
    good = told["signal_during_a_visit_handled"] and not totals["lost"] + totals["wrong_counts"]
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
