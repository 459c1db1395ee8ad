"""Versions that can be compared, and the tables of which fits which."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

Version = tuple[int, ...]
_DATA = Path(__file__).with_name("data")


def version(written: str | None) -> Version:
    """The leading numbers of a version, `580.95.05` and `2.8.0+cu128` alike; () where there are none."""
    match = re.match(r"\d{1,18}(?:\.\d{1,18})*", (written or "").strip())
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def minor(written: str | None) -> Version:
    """Major and minor number only."""
    return version(written)[:2]


def dotted(parts: Version) -> str:
    """`(12, 6)` as `12.6`."""
    return ".".join(str(part) for part in parts)


@cache
def table(name: str) -> Any:
    """A table of gpudoctor/checks/data; its "sources" say where it is from."""
    return json.loads((_DATA / f"{name}.json").read_text())


def least_driver(cuda: str) -> str | None:
    """The oldest Linux driver on which any CUDA program of this major version runs; None: not known."""
    found: str | None = table("driver")["family_minimum"].get(dotted(version(cuda)[:1]))
    return found


def wheel_index(cuda: Version) -> str:
    """The address of torch's wheels for a CUDA version."""
    return f"https://download.pytorch.org/whl/cu{''.join(str(part) for part in cuda[:2])}"


def cuda_builds_for(driver: str | None) -> list[Version]:
    """CUDA versions of torch's current wheels that run on this driver, the newest first."""
    builds = sorted((minor(name) for name in table("torch")["wheel_architectures"]), reverse=True)
    if driver is None:
        return builds
    return [b for b in builds if (least_driver(dotted(b)) or "0") and _runs(driver, b)]


def _runs(driver: str, build: Version) -> bool:
    least = least_driver(dotted(build))
    return least is None or version(driver) >= version(least)


def builds_with(capability: tuple[int, int], machine: str = "x86_64") -> list[Version]:
    """CUDA versions of torch's current wheels that have kernels for this GPU, the newest first."""
    tables = table("torch")["wheel_architectures"]
    number = capability[0] * 10 + capability[1]
    fitting = [
        minor(name)
        for name, rows in tables.items()
        if any(a <= number and a // 10 == number // 10 for a in rows.get(machine, ()))
    ]
    return sorted(fitting, reverse=True)
