"""Gathers what a bug report says of gpudoctor itself. Starts no program and imports no dependency."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import gpudoctor
from gpudoctor.host import containers
from gpudoctor.host.containers import read_text
from gpudoctor.host.system import os_name
from gpudoctor.model.about import About, DriverLibrary, Place

_NAME = re.compile(r"[A-Za-z0-9._-]+")
LIBRARY = "libnvidia-ml.so"


def about(
    environ: Mapping[str, str],
    driver: DriverLibrary,
    places: Sequence[tuple[str, Path]],
    *,
    listen: str | None,
    settings_error: str | None = None,
    root: Path = Path("/"),
) -> About:
    """The report; the caller has asked the driver and knows the places."""
    return About(
        version=gpudoctor.__version__,
        package=str(Path(gpudoctor.__file__).parent),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        executable=sys.executable,
        machine=platform.machine(),
        kernel=read_text(root / "proc/sys/kernel/osrelease").strip() or None,
        os=os_name(root),
        libc="-".join(part for part in platform.libc_ver() if part) or None,
        container=containers.container(environ, root).kind,
        dependencies=dependencies(),
        driver=driver,
        places=tuple(Place(what, str(path), path.exists()) for what, path in places),
        listen=listen,
        settings_error=settings_error,
    )


def dependencies(distribution: str = "gpudoctor") -> dict[str, str | None]:
    """The versions of what `distribution` requires, by their metadata; extras are left out."""
    try:
        wanted = importlib.metadata.requires(distribution) or []
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return {}
    found: dict[str, str | None] = {}
    for line in wanted:
        name = _NAME.match(line)
        if name is None or "extra ==" in line:
            continue
        try:
            found[name[0]] = importlib.metadata.version(name[0])
        except importlib.metadata.PackageNotFoundError:
            found[name[0]] = None
    return found


def loaded_library(root: Path = Path("/")) -> str | None:
    """The file of the driver's library that this process has mapped; None if it has none."""
    for line in read_text(root / "proc/self/maps").splitlines():
        path = line.split(maxsplit=5)[-1]
        if path.startswith("/") and Path(path).name.startswith(LIBRARY):
            return path
    return None
