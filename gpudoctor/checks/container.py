"""Containers and limits: what was not let in, and what is too small."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext, NotReportedError
from gpudoctor.checks.make import MACHINE, error, info, issue, torch_issue, warning
from gpudoctor.checks.registry import check
from gpudoctor.model.environment import Limits
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.units import data_size

_TOOLKIT = "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/"
_MIB, _GIB = 1024**2, 1024**3
_HIDDEN = ("", "void", "none")
_OPEN_FILES = 4096
_CPUS_PER_GPU = 4


def _limits(ctx: CheckContext) -> Limits:
    return ctx.the_system().limits


@check(
    "container.no-gpu",
    title="The container was started without GPUs",
    needs=("system", "machine"),
    tier="A",
    severity=Severity.ERROR,
    sources=(_TOOLKIT, "https://docs.docker.com/engine/containers/gpu/"),
)
def no_gpu(ctx: CheckContext) -> Iterator[Finding]:
    """We are in a container and there are no NVIDIA device files: no GPU was asked for at its start, or
    the runtime is not set up for it. Whether the host has a GPU is seen on the PCI bus."""
    container = ctx.the_system().container
    if container.kind is None:
        raise NotReportedError("this is no container")
    machine = ctx.the_machine()
    if machine.kernel.wsl or any(n.path[-1].isdigit() for n in machine.device_nodes):
        return
    asked = ctx.environ.get("NVIDIA_VISIBLE_DEVICES")
    if not machine.pci_gpus and asked in (None, *_HIDDEN):
        return
    yield error(
        MACHINE,
        f"this {container.kind} container was given no GPU",
        f"GPUs on the PCI bus: {len(machine.pci_gpus)}; /dev/nvidia0 and others: none",
        f"NVIDIA_VISIBLE_DEVICES={'(not set)' if asked is None else asked}",
        fix="Start the container with GPUs. If it was, set the runtime up on the host first.",
        run=[
            "docker run --gpus all ...",
            "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker",
        ],
    )


@check(
    "container.lost-gpu",
    title="The container has lost its GPUs",
    needs=("system", "machine"),
    tier="A",
    severity=Severity.ERROR,
    sources=(
        issue("NVIDIA/nvidia-container-toolkit", 48),
        issue("NVIDIA/gpu-operator", 485),
    ),
)
def lost_gpu(ctx: CheckContext) -> Iterator[Finding]:
    """The device files are there and may no longer be opened: the host reloaded its systemd units (an
    update does), and the container's right to the devices was forgotten."""
    if ctx.the_system().container.kind is None:
        raise NotReportedError("this is no container")
    nodes = ctx.the_machine().device_nodes
    denied = [node.path for node in nodes if node.problem == "EPERM"]
    control = ctx.the_machine().node("/dev/nvidiactl")
    if control is not None and control.problem == "EPERM":
        yield error(
            MACHINE,
            "this container has lost its right to the GPUs",
            *(f"open({path}): EPERM" for path in denied),
            fix="Start the container anew. To keep it from coming back, make the host's device links "
            "(run on the host), or use CDI.",
            run=["sudo nvidia-ctk system create-dev-char-symlinks --create-all"],
        )


@check(
    "container.shared-memory",
    title="Little shared memory (/dev/shm)",
    needs=("system",),
    tier="A",
    severity=Severity.ERROR,
    sources=(torch_issue(5040), torch_issue(1355), torch_issue(108861)),
)
def shared_memory(ctx: CheckContext) -> Iterator[Finding]:
    """DataLoader workers and NCCL pass data through /dev/shm. Docker gives 64 MiB; a batch of images is
    larger, and workers then die with "bus error" or "unable to open shared memory object"."""
    limits = _limits(ctx)
    total = ctx.need("shm", limits.shm_total_bytes, "there is no /dev/shm")
    gpus = len(ctx.snapshot.devices) if ctx.snapshot else 0
    wanted = max(_GIB, 2 * _GIB * gpus)
    run = ["docker run --shm-size=16g ...", "docker run --ipc=host ..."]
    fix = (
        "Give the container more (on Kubernetes: an emptyDir of medium Memory at /dev/shm). Until "
        "then num_workers=0 avoids it."
    )
    evidence = f"{data_size(limits.shm_free_bytes)} of {data_size(total)} are free"
    if total < 128 * _MIB:
        yield error(
            MACHINE,
            f"only {data_size(total)} of shared memory (/dev/shm): DataLoader workers will die",
            evidence,
            fix=fix,
            run=run,
        )
    elif total < wanted and (gpus or total < _GIB):
        yield warning(
            MACHINE,
            f"{data_size(total)} of shared memory (/dev/shm) is little",
            evidence,
            fix=fix,
            run=run,
        )


@check(
    "limits.open-files",
    title="Few open files allowed",
    needs=("system",),
    tier="C",
    severity=Severity.WARNING,
    sources=("https://docs.pytorch.org/docs/stable/multiprocessing.html",),
)
def open_files(ctx: CheckContext) -> Iterator[Finding]:
    """Torch's default way of sharing tensors between processes keeps one file open for each. A small
    limit ends in "too many open files" after hours."""
    limit = ctx.need("open files", _limits(ctx).open_files, "there is no limit on open files")
    if limit < _OPEN_FILES:
        yield warning(
            MACHINE,
            f"only {limit} files may be open at once",
            fix="Raise the limit in the shell that starts the job, or let torch share by files.",
            run=[
                "ulimit -n 65535",
                "python -c \"import torch.multiprocessing as m; m.set_sharing_strategy('file_system')\"",
            ],
        )


@check(
    "limits.locked-memory",
    title="Too little lockable memory for InfiniBand",
    needs=("system", "machine"),
    tier="C",
    severity=Severity.WARNING,
    sources=("https://docs.nvidia.com/deeplearning/nccl/user-guide/docs/troubleshooting.html",),
)
def locked_memory(ctx: CheckContext) -> Iterator[Finding]:
    """RDMA registers memory, which counts against the limit of locked memory. NCCL over InfiniBand fails
    where it is small."""
    adapters = ctx.the_machine().infiniband
    if not adapters:
        raise NotReportedError("there is no InfiniBand adapter")
    limit = ctx.need(
        "locked memory", _limits(ctx).locked_memory_bytes, "there is no limit on locked memory"
    )
    yield warning(
        MACHINE,
        f"only {data_size(limit)} may be locked, and there is InfiniBand ({', '.join(adapters)})",
        fix="Lift the limit for the job or the container.",
        run=["ulimit -l unlimited", "docker run --ulimit memlock=-1:-1 ..."],
    )


@check(
    "limits.cpus",
    title="Few CPUs for the GPUs",
    needs=("system", "gpus"),
    tier="C",
    severity=Severity.WARNING,
    sources=("https://docs.pytorch.org/docs/stable/data.html",),
)
def cpus(ctx: CheckContext) -> Iterator[Finding]:
    """A quota, an affinity or a small machine leaves fewer than four CPUs for each GPU. Decoding and
    augmenting in DataLoader workers then holds the GPUs up."""
    system = ctx.the_system()
    usable = system.cpu.usable or system.cpu.logical
    quota = system.limits.cgroup_cpus
    amounts = [float(n) for n in (usable, quota) if n is not None]
    least = ctx.need("cpus", min(amounts, default=None), "the number of CPUs is not known")
    gpus = len(ctx.devices())
    if ctx.the_snapshot().source != "nvml":
        raise NotReportedError("the GPUs are not of this machine")
    if least < _CPUS_PER_GPU * gpus:
        yield warning(
            MACHINE,
            f"{least:g} CPUs for {gpus} GPUs",
            f"in the machine: {system.cpu.logical}; by affinity: {system.cpu.usable}; "
            f"by quota: {'none' if quota is None else f'{quota:g}'}",
            fix="Ask for more CPUs, and set num_workers no higher than what there is.",
            run=[
                f"srun --cpus-per-task={_CPUS_PER_GPU * gpus} ...",
                f"docker run --cpus={_CPUS_PER_GPU * gpus} ...",
            ],
        )


@check(
    "limits.memory",
    title="Less host memory allowed than the GPU has",
    needs=("system", "gpus"),
    tier="C",
    severity=Severity.WARNING,
    sources=("https://docs.kernel.org/admin-guide/cgroup-v2.html",),
)
def memory(ctx: CheckContext) -> Iterator[Finding]:
    """The container or job may use less memory of the host than one GPU has. Loading a checkpoint of
    that size through the host ends with the out-of-memory killer."""
    limit = ctx.need("cgroup memory", _limits(ctx).cgroup_memory_bytes, "the memory is not limited")
    told = ctx.reporting(lambda d: d.memory.total_bytes)
    largest = max(total for _, total in told)
    if limit < largest:
        yield warning(
            MACHINE,
            f"this job may use {data_size(limit)} of the host's memory; a GPU has {data_size(largest)}",
            fix="Raise the limit, or load checkpoints with mmap=True or directly to the GPU.",
            run=["docker run --memory=... ...", "srun --mem=... ..."],
        )


@check(
    "container.visible-devices",
    title="NVIDIA_VISIBLE_DEVICES says none",
    needs=("system", "environment variables"),
    tier="C",
    severity=Severity.INFO,
    sources=(_TOOLKIT,),
)
def visible_devices(ctx: CheckContext) -> Iterator[Finding]:
    """The variable is read by the container runtime, before the container starts, and never by CUDA:
    inside it is only a trace of what was asked for. Setting it inside changes nothing."""
    value = ctx.variable("NVIDIA_VISIBLE_DEVICES")
    has_gpu = ctx.snapshot is not None and ctx.snapshot.source == "nvml" and ctx.snapshot.devices
    if not ctx.in_container and has_gpu and value not in ("all", *_HIDDEN):
        yield info(
            MACHINE,
            f"NVIDIA_VISIBLE_DEVICES={value} has no effect outside of a container's start",
            fix="To choose GPUs for a program, set CUDA_VISIBLE_DEVICES.",
            run=[f"export CUDA_VISIBLE_DEVICES={value}", "unset NVIDIA_VISIBLE_DEVICES"],
        )
