"""Reads who launched a process: three files of /proc for each, and its command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gpudoctor.host.proc_files import (
    parse_cgroup,
    parse_status,
    read_environment,
    read_stat,
    read_text,
    read_words,
    whole_number,
)
from gpudoctor.model.lineage import Placement
from gpudoctor.model.listing import Above, Launcher, Origin

PROC = Path("/proc")
_SHORT_ID = 12
_MOST_ANCESTORS = 64
# Slices and daemons inside which everything of a login, a container engine or Slurm runs: they say
# nothing of who started this very process.
_EVERYBODYS = (
    "docker.",
    "containerd.",
    "crio.",
    "slurmd.",
    "slurmstepd.",
    "ssh.",
    "sshd.",
    "cron.",
    "crond.",
    "atd.",
    "init.",
)


def origin(pid: int, command: Sequence[str], root: Path = PROC) -> Origin:
    """Where `pid` comes from, as far as its files may be read."""
    folder = root / str(pid)
    environ = read_environment(root, pid) or {}
    placement = parse_cgroup(read_text(folder / "cgroup") or "")
    status = parse_status(read_text(folder / "status") or "")
    pids = status.get("NSpid", "").split()
    return Origin(
        launchers=launchers(command, environ, placement),
        pid_in_container=whole_number(pids[-1]) if len(pids) > 1 else None,
    )


def launchers(
    command: Sequence[str], environ: Mapping[str, str], placement: Placement
) -> tuple[Launcher, ...]:
    """Who launched a process with this command, environment and control group; the nearest first.

    Of what a process only inherited, such as the torchrun rank of a DataLoader worker, its
    environment says as much as of its own: it is part of that rank.
    """
    near = (
        _jupyter(command, environ),
        _served(command),
        _torchrun(environ),
        _ray(command, environ),
        _mpi(environ),
    )
    found = [one for one in near if one is not None]
    job = placement.slurm_job or environ.get("SLURM_JOB_ID")
    if job:
        step = environ.get("SLURM_STEP_ID")
        found.append(Launcher("slurm", job, f"step {step}" if step else None))
    if placement.container:
        found.append(Launcher("container", placement.container[:_SHORT_ID], placement.container))
    unit = _unit(placement)
    if unit:
        found.append(Launcher("systemd", unit))
    return tuple(found)


def _jupyter(command: Sequence[str], environ: Mapping[str, str]) -> Launcher | None:
    if not any("ipykernel" in word or "xpython" in word for word in command):
        return None
    file = next((word for word in command if "kernel-" in word and word.endswith(".json")), "")
    kernel = file.rpartition("/")[2].removeprefix("kernel-").removesuffix(".json")
    notebook = environ.get("JPY_SESSION_NAME", "").rpartition("/")[2]
    server = environ.get("JPY_PARENT_PID")
    detail = ", ".join(
        filter(None, (f"kernel {kernel}" if kernel else "", f"server {server}" if server else ""))
    )
    return Launcher("jupyter", notebook or kernel[:8] or "kernel", detail or None)


def _torchrun(environ: Mapping[str, str]) -> Launcher | None:
    run = environ.get("TORCHELASTIC_RUN_ID")
    if run is None:
        return None
    rank, size = environ.get("RANK"), environ.get("WORLD_SIZE")
    name = f"rank {rank}/{size}" if rank and size else f"rank {rank}" if rank else "launcher"
    return Launcher("torchrun", name, f"run {run}")


def _ray(command: Sequence[str], environ: Mapping[str, str]) -> Launcher | None:
    title = command[0] if command else ""
    job = environ.get("RAY_JOB_ID")
    if not title.startswith("ray::") and job is None:
        return None
    return Launcher(
        "ray", title.removeprefix("ray::") if title.startswith("ray::") else "worker", job
    )


def _served(command: Sequence[str]) -> Launcher | None:
    title = command[0] if command else ""
    for prefix, kind in (("VLLM::", "vllm"), ("sglang::", "sglang")):
        if title.startswith(prefix):
            return Launcher(kind, title.removeprefix(prefix))
    return None


def _mpi(environ: Mapping[str, str]) -> Launcher | None:
    for rank, size in (
        ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
        ("PMI_RANK", "PMI_SIZE"),
    ):
        if rank in environ:
            return Launcher("mpi", f"rank {environ[rank]}/{environ.get(size, '?')}")
    return None


def _unit(placement: Placement) -> str | None:
    """The service that the process is part of; transient scopes of `systemd-run` too."""
    for unit in (placement.user_unit, placement.system_unit):
        if unit is None or unit.startswith(_EVERYBODYS):
            continue
        if unit.endswith(".service") or unit.startswith("run-"):
            return unit
    return None


def ancestors(pid: int, root: Path = PROC) -> tuple[Above, ...]:
    """The processes above `pid`, nearest first, without the first process of the machine."""
    chain: list[Above] = []
    stat = read_stat(root, pid)
    above = stat.parent_pid if stat else 0
    while above > 1 and len(chain) < _MOST_ANCESTORS:
        stat = read_stat(root, above)
        if stat is None:
            break
        chain.append(Above(above, stat.name, read_words(root / str(above) / "cmdline")))
        above = stat.parent_pid
    return tuple(chain)
