"""What we run inside of: a container, a batch job, WSL. Read from files and variables alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from gpudoctor.model.environment import Container, Scheduler

# A file that a container engine leaves, and the engine.
_FILES = (
    (".dockerenv", "docker"),
    ("run/.containerenv", "podman"),
    ("singularity", "singularity"),
    (".singularity.d", "singularity"),
)
_VARIABLES = (
    ("KUBERNETES_SERVICE_HOST", "kubernetes"),
    ("APPTAINER_CONTAINER", "apptainer"),
    ("SINGULARITY_CONTAINER", "singularity"),
    ("container", None),
)
_CGROUPS = (
    ("kubepods", "kubernetes"),
    ("docker", "docker"),
    ("libpod", "podman"),
    ("containerd", "containerd"),
    ("/lxc", "lxc"),
)
_TOOLKIT_MOUNT = re.compile(r" (/\S*(?:libcuda\.so\S*|nvidia-smi|/dev/nvidia(?:ctl|\d+))) ")
_SCHEDULERS = (
    ("SLURM_JOB_ID", "slurm", ("SLURM_",)),
    ("PBS_JOBID", "pbs", ("PBS_",)),
    ("LSB_JOBID", "lsf", ("LSB_",)),
    ("_CONDOR_SLOT", "htcondor", ("_CONDOR_",)),
    ("FLUX_JOB_ID", "flux", ("FLUX_",)),
    ("COBALT_JOBID", "cobalt", ("COBALT_",)),
    ("RAY_JOB_ID", "ray", ("RAY_",)),
)
_ABOUT_GPUS = re.compile(r"GPU|GRES|NODEID|PROCID|LOCALID|NTASKS|NNODES|JOB_?ID|SLOT|STEP_ID")


def read_text(path: Path) -> str:
    """The content of a file, empty where it is not there or not ours to read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def container(environ: Mapping[str, str], root: Path = Path("/")) -> Container:
    """The container around us. The kind is that of the first evidence."""
    found: list[tuple[str, str]] = []
    for name, value_kind in _VARIABLES:
        if environ.get(name):
            found.append((value_kind or environ[name], f"{name} is set"))
    found += [(kind, f"/{name} exists") for name, kind in _FILES if (root / name).exists()]
    groups = read_text(root / "proc/self/cgroup") + read_text(root / "proc/1/cgroup")
    found += [(kind, f"cgroup names {word}") for word, kind in _CGROUPS if word in groups]
    systemd = read_text(root / "run/systemd/container").strip()
    if systemd:
        found.append((systemd, f"/run/systemd/container says {systemd}"))
    if not found:
        return Container()
    return Container(found[0][0], tuple(text for _, text in found), _toolkit(root))


def _toolkit(root: Path) -> bool:
    """Whether somebody mounted the driver's files one by one, as the NVIDIA container toolkit does."""
    return bool(_TOOLKIT_MOUNT.search(read_text(root / "proc/self/mountinfo")))


def scheduler(environ: Mapping[str, str]) -> Scheduler:
    """The batch system whose job we are in, with its variables about GPUs."""
    for marker, name, prefixes in _SCHEDULERS:
        if environ.get(marker):
            variables = {
                key: value
                for key, value in sorted(environ.items())
                if key.startswith(prefixes) and _ABOUT_GPUS.search(key)
            }
            return Scheduler(name, environ[marker], variables)
    return Scheduler()


def wsl(root: Path = Path("/")) -> bool:
    """Windows Subsystem for Linux: the kernel says so."""
    return "microsoft" in read_text(root / "proc/sys/kernel/osrelease").lower()
