"""What the checks may look at: facts that were gathered before, so that a check can neither hang nor harm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from gpudoctor.checks.facts.distributions import Distributions
from gpudoctor.checks.facts.kernel_log import KernelLog
from gpudoctor.checks.facts.machine import MachineFacts
from gpudoctor.checks.script.source import Script
from gpudoctor.model.environment import LibraryPathEntry, SystemReport, Tool, Toolkit
from gpudoctor.model.orphan import Orphan
from gpudoctor.model.probe import Probe, TorchBuild, TorchCuda
from gpudoctor.model.snapshot import Device, DeviceState, Snapshot

T = TypeVar("T")
U = TypeVar("U")


class NotReportedError(Exception):
    """A fact that the check needs is not told here; the check is then not applicable, never "fine"."""


@dataclass(frozen=True, slots=True)
class NvmlFailure:
    """Why the driver cannot be asked. `code` is nvmlInit's, where that call failed."""

    message: str
    cause: str | None = None
    hint: str | None = None
    code: int | None = None


@dataclass(frozen=True, slots=True)
class CheckContext:
    """The gathered facts. None: it was not or could not be gathered; `missing` says why.

    `environ` is the environment in which the interpreter under test was probed.
    """

    snapshot: Snapshot | None = None
    nvml_failure: NvmlFailure | None = None
    probe: Probe | None = None
    system: SystemReport | None = None
    machine: MachineFacts | None = None
    toolkit: Toolkit | None = None
    compiler: Tool | None = None
    nvidia_smi: Tool | None = None
    library_path: tuple[LibraryPathEntry, ...] | None = None
    distributions: Distributions | None = None
    orphans: tuple[Orphan, ...] | None = None
    kernel_log: KernelLog | None = None
    script: Script | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)

    def need(self, name: str, value: T | None, reason: str) -> T:
        """`value`, which the check cannot do without.

        Raises:
            NotReportedError: it is None.
        """
        if value is None:
            raise NotReportedError(self.missing.get(name, reason))
        return value

    @property
    def in_container(self) -> bool:
        """Whether we know ourselves to be in a container."""
        return self.system is not None and self.system.container.kind is not None

    def the_snapshot(self) -> Snapshot:
        """The driver's view."""
        return self.need("snapshot", self.snapshot, "the NVIDIA driver does not answer here")

    def devices(self) -> tuple[Device, ...]:
        """The GPUs that NVML names, at least one."""
        found = self.the_snapshot().devices
        return self.need("gpus", found or None, "NVML names no GPU")

    def living(self) -> tuple[Device, ...]:
        """The GPUs that answer."""
        found = tuple(d for d in self.devices() if d.state is DeviceState.OK)
        return self.need("living", found or None, "no GPU answers")

    def reporting(self, reading: Callable[[Device], T | None]) -> list[tuple[Device, T]]:
        """The GPUs that give this reading, with it.

        Raises:
            NotReportedError: none of them does.
        """
        told = [(d, value) for d in self.living() if (value := reading(d)) is not None]
        if not told:
            raise NotReportedError("no GPU here reports it")
        return told

    def reporting_both(
        self, one: Callable[[Device], T | None], other: Callable[[Device], U | None]
    ) -> list[tuple[Device, tuple[T, U]]]:
        """The GPUs that give these two readings, with them.

        Raises:
            NotReportedError: none of them gives both.
        """

        def both(device: Device) -> tuple[T, U] | None:
            first, second = one(device), other(device)
            return None if first is None or second is None else (first, second)

        return self.reporting(both)

    def the_probe(self) -> Probe:
        """The answer of the interpreter under test, whatever it was."""
        return self.need("probe", self.probe, "no Python interpreter was examined")

    def torch(self) -> TorchBuild:
        """The torch that the interpreter under test imported."""
        return self.need("torch", self.the_probe().torch, "torch was not imported")

    def torch_cuda(self) -> TorchCuda:
        """What that torch says of CUDA."""
        return self.need("torch", self.the_probe().cuda, "torch was not imported")

    def cuda_torch(self) -> TorchBuild:
        """That torch, if it was built for CUDA."""
        built = self.torch()
        return self.need("cuda torch", built if built.cuda_version else None, "not a CUDA build")

    def installed(self) -> Distributions:
        """What is installed for that interpreter."""
        return self.need("distributions", self.distributions, "its packages could not be listed")

    def the_system(self) -> SystemReport:
        """The operating system's view."""
        return self.need("system", self.system, "the system was not examined")

    def the_machine(self) -> MachineFacts:
        """What sysfs and /dev say."""
        return self.need("machine", self.machine, "sysfs was not examined")

    def the_toolkit(self) -> Toolkit:
        """The CUDA toolkit of this machine."""
        return self.need("toolkit", self.toolkit, "the CUDA toolkit was not looked for")

    def libraries_first(self) -> tuple[LibraryPathEntry, ...]:
        """The folders of LD_LIBRARY_PATH."""
        return self.need("library_path", self.library_path, "LD_LIBRARY_PATH was not examined")

    def the_log(self) -> KernelLog:
        """The kernel log."""
        reason = "the kernel log is not readable (root, or the groups adm or systemd-journal, may)"
        return self.need("kernel_log", self.kernel_log, reason)

    def the_script(self) -> Script:
        """The script that is checked."""
        return self.need("script", self.script, "no script was given")

    def variables(self) -> Mapping[str, str]:
        """The environment variables."""
        return self.need("environ", self.environ or None, "the environment was not examined")

    def variable(self, name: str) -> str:
        """The environment variable's value.

        Raises:
            NotReportedError: it is not set.
        """
        return self.need(name, self.environ.get(name), f"{name} is not set")


# What a check can name in `needs`, and how to tell that it is missing.
NEEDS: dict[str, Callable[[CheckContext], object]] = {
    "driver": CheckContext.the_snapshot,
    "gpus": CheckContext.devices,
    "python": CheckContext.the_probe,
    "torch": CheckContext.torch,
    "cuda torch": CheckContext.cuda_torch,
    "packages": CheckContext.installed,
    "system": CheckContext.the_system,
    "machine": CheckContext.the_machine,
    "toolkit": CheckContext.the_toolkit,
    "library path": CheckContext.libraries_first,
    "kernel log": CheckContext.the_log,
    "script": CheckContext.the_script,
    "environment variables": CheckContext.variables,
}
