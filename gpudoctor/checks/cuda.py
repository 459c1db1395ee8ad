"""CUDA's start: what cuInit answers, in a child process, and what explains each answer."""

from __future__ import annotations

from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext, NotReportedError
from gpudoctor.checks.make import MACHINE, PYTHON, error, issue, torch_issue, warning
from gpudoctor.checks.registry import check
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.model.probe import CudaDriver

_CODES = "https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html"
_COMPAT = "https://docs.nvidia.com/deploy/cuda-compatibility/"
_MEANING = {
    34: "the stub library of the toolkit was loaded in place of the driver",
    100: "no CUDA device is visible",
    101: "an invalid device was named",
    802: "the system is not ready (NVSwitch fabric)",
    803: "the driver and libcuda do not fit each other",
    804: "forward compatibility was tried on hardware that does not support it",
    999: "unknown error",
}
_NO_DEVICE, _STUB, _NOT_READY, _MISMATCH, _NO_COMPAT, _UNKNOWN = 100, 34, 802, 803, 804, 999


def driver_of(ctx: CheckContext) -> CudaDriver:
    """What libcuda answered in the probe."""
    return ctx.need("cuda driver", ctx.the_probe().driver, "libcuda was not asked")


def _code(ctx: CheckContext) -> int:
    answer = driver_of(ctx)
    return ctx.need("cuInit", answer.code, "libcuda.so.1 could not be loaded")


def _library(ctx: CheckContext) -> str:
    return ctx.need("libcuda", driver_of(ctx).library, "libcuda.so.1 could not be loaded")


@check(
    "cuda.init",
    title="CUDA does not start",
    needs=("python",),
    tier="A",
    severity=Severity.ERROR,
    sources=(_CODES, torch_issue(49081), torch_issue(35710)),
    after=(
        "cuda.stub-library",
        "cuda.compat-library",
        "cuda.wsl-library",
        "driver.fabric-manager",
        "driver.uvm",
        "driver.not-loaded",
        "driver.version-mismatch",
        "driver.device-permission",
        "container.no-gpu",
        "container.lost-gpu",
        "visible.hides-all",
        "gpu.compute-mode",
        "mig.no-instance",
        "driver.hangs",
    ),
)
def init(ctx: CheckContext) -> Iterator[Finding]:
    """cuInit, the first call of every CUDA program, was made in a child process and failed. The code
    says where to look."""
    answer, code = driver_of(ctx), _code(ctx)
    if code == 0 or (code == _NO_DEVICE and not _has_gpu(ctx)):
        return
    yield error(
        MACHINE,
        f"cuInit fails with {code} ({answer.name or 'no name'}): {_MEANING.get(code, 'see the source')}",
        f"library: {answer.library or 'not known'}",
        fix="Solve what is named above or below as its cause; if there is none, read the kernel log.",
        run=["sudo dmesg | grep -iE 'nvrm|nvidia' | tail -20"],
    )


def _has_gpu(ctx: CheckContext) -> bool:
    if ctx.snapshot is not None and ctx.snapshot.devices:
        return True
    return bool(ctx.machine and ctx.machine.pci_gpus and not ctx.in_container)


@check(
    "driver.uvm",
    title="The unified-memory module is not usable",
    needs=("machine",),
    uses=("python",),
    tier="A",
    severity=Severity.ERROR,
    sources=(torch_issue(88639), torch_issue(49081), torch_issue(49327)),
)
def uvm(ctx: CheckContext) -> Iterator[Finding]:
    """CUDA needs /dev/nvidia-uvm. Without it (module not loaded, device file not made, broken after a
    suspend) cuInit fails with 999, while nvidia-smi works. Torch's hint about CUDA_VISIBLE_DEVICES
    misleads in this case."""
    machine = ctx.the_machine()
    if machine.kernel.wsl or machine.node("/dev/nvidiactl") is None:
        raise NotReportedError("there is no /dev/nvidiactl here")
    node = machine.node("/dev/nvidia-uvm")
    code = ctx.probe.driver.code if ctx.probe and ctx.probe.driver else None
    if node is None:
        yield error(
            MACHINE,
            "/dev/nvidia-uvm does not exist: CUDA cannot start, although nvidia-smi may work",
            f"module nvidia_uvm loaded: {'yes' if 'nvidia_uvm' in machine.kernel.modules else 'no'}",
            *([f"cuInit: {code}"] if code is not None else []),
            fix="Load the module, which makes the file; for a container, start it anew afterwards.",
            run=["sudo modprobe nvidia_uvm", "sudo nvidia-modprobe -u -c=0"],
        )
    elif code == _UNKNOWN and node.problem is None:
        yield error(
            MACHINE,
            "cuInit fails with 999 although /dev/nvidia-uvm is there: the module is in a bad state",
            "this is usual after a suspend of the machine",
            fix="Reload nvidia_uvm when no program uses a GPU.",
            run=["sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm"],
        )


@check(
    "driver.fabric-manager",
    title="The NVSwitch fabric is not ready",
    needs=("machine",),
    uses=("python",),
    tier="A",
    severity=Severity.ERROR,
    sources=(
        torch_issue(35710),
        "https://docs.nvidia.com/datacenter/tesla/fabric-manager-user-guide/",
    ),
    after=("driver.version-mismatch",),
)
def fabric_manager(ctx: CheckContext) -> Iterator[Finding]:
    """On machines with NVSwitch CUDA starts only when the fabric manager, of exactly the driver's
    version, has set the fabric up. Until then cuInit fails with 802 and NVML works."""
    code = ctx.probe.driver.code if ctx.probe and ctx.probe.driver else None
    devices = ctx.snapshot.devices if ctx.snapshot else ()
    unready = [
        f"GPU {d.index}: fabric {d.health.fabric_state}"
        for d in devices
        if d.health.fabric_state not in (None, "completed")
    ]
    if code is None and not any(d.health.fabric_state for d in devices):
        raise NotReportedError("neither cuInit's answer nor a fabric state is known")
    if code == _NOT_READY or unready:
        version = ctx.snapshot.driver.version if ctx.snapshot else None
        package = "nvidia-fabricmanager" + (f"-{version.partition('.')[0]}" if version else "")
        yield error(
            MACHINE,
            "the NVSwitch fabric is not ready, so CUDA cannot start",
            *([f"cuInit: {code}"] if code is not None else []),
            *unready,
            f"NVSwitch devices that the kernel shows: {ctx.the_machine().kernel.nvswitches}",
            fix=f"Run the fabric manager of exactly the driver's version ({version or 'not known'}). In "
            "a rented virtual machine the provider has to do it.",
            run=[
                "systemctl status nvidia-fabricmanager",
                f"sudo apt install {package}",
                "sudo systemctl enable --now nvidia-fabricmanager",
            ],
        )


@check(
    "cuda.stub-library",
    title="The toolkit's stub was loaded as the driver",
    needs=("python",),
    tier="C",
    severity=Severity.ERROR,
    sources=(_CODES,),
)
def stub_library(ctx: CheckContext) -> Iterator[Finding]:
    """The toolkit ships an empty libcuda.so to link against. On LD_LIBRARY_PATH it takes the driver's
    place, and nothing works."""
    library = _library(ctx)
    if "/stubs/" in library or driver_of(ctx).code == _STUB:
        yield error(
            PYTHON,
            "libcuda.so.1 is the toolkit's stub, not the driver",
            f"loaded: {library}",
            fix="Take the stubs folder out of LD_LIBRARY_PATH; it is for linking only.",
            run=["echo $LD_LIBRARY_PATH | tr : '\\n' | grep stubs"],
        )


@check(
    "cuda.compat-library",
    title="A forward-compatibility libcuda that does not work here",
    needs=("python",),
    tier="B",
    severity=Severity.ERROR,
    sources=(_COMPAT, issue("NVIDIA/nvidia-container-toolkit", 1426)),
)
def compat_library(ctx: CheckContext) -> Iterator[Finding]:
    """The package cuda-compat brings a newer libcuda for older drivers. It works on data-center GPUs
    only, and only with certain driver branches; elsewhere cuInit fails with 803 or 804."""
    library, code = _library(ctx), driver_of(ctx).code
    if "/compat/" in library and code in (_MISMATCH, _NO_COMPAT):
        yield error(
            PYTHON,
            f"libcuda comes from the forward-compatibility package and fails here ({code})",
            f"loaded: {library}",
            fix="Take the compat folder out of LD_LIBRARY_PATH and ld.so.conf, or update the driver.",
            run=[
                "export LD_LIBRARY_PATH=$(echo $LD_LIBRARY_PATH | tr : '\\n' | grep -v /compat | paste -sd:)"
            ],
        )


@check(
    "cuda.wsl-library",
    title="A Linux driver inside WSL",
    needs=("python", "machine"),
    tier="A",
    severity=Severity.ERROR,
    sources=(
        issue("microsoft/WSL", 7056),
        issue("microsoft/WSL", 9254),
        "https://docs.nvidia.com/cuda/wsl-user-guide/",
    ),
)
def wsl_library(ctx: CheckContext) -> Iterator[Finding]:
    """In WSL the driver is Windows's; its libcuda lies in /usr/lib/wsl/lib. An NVIDIA driver package
    for Linux that was installed inside puts its own libcuda before it."""
    if not ctx.the_machine().kernel.wsl:
        raise NotReportedError("this is not WSL")
    library = driver_of(ctx).library
    if library and not library.startswith(("/usr/lib/wsl/", "/mnt/wslg/")):
        yield error(
            MACHINE,
            "libcuda.so.1 is not the one of Windows's driver",
            f"loaded: {library}",
            fix="Remove the Linux driver packages inside WSL; install the driver in Windows only.",
            run=["dpkg -l 'libnvidia-compute*' 'nvidia-driver*'", "sudo apt purge '*nvidia*'"],
        )
    elif ctx.the_machine().node("/dev/dxg") is None:
        yield error(
            MACHINE,
            "there is no /dev/dxg: this WSL cannot reach the GPU",
            fix="Update WSL and the Windows driver, and use WSL 2. Run the command in Windows.",
            run=["wsl --update", "wsl --set-version Ubuntu 2"],
        )


@check(
    "cuda.library-missing",
    title="libcuda.so.1 cannot be loaded",
    needs=("python", "gpus"),
    tier="A",
    severity=Severity.ERROR,
    sources=(
        "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html",
    ),
    after=("container.no-gpu", "driver.library-missing"),
)
def library_missing(ctx: CheckContext) -> Iterator[Finding]:
    """NVML shows GPUs, but CUDA's own library is not there: in a container the capability "compute" was
    not asked for; elsewhere a part of the driver is not installed."""
    answer = driver_of(ctx)
    if ctx.the_snapshot().source != "nvml":
        raise NotReportedError("the GPUs are not of this machine")
    if answer.code is None and answer.error:
        yield error(
            MACHINE,
            "NVML shows GPUs, but libcuda.so.1 cannot be loaded",
            answer.error,
            f"NVIDIA_DRIVER_CAPABILITIES={ctx.environ.get('NVIDIA_DRIVER_CAPABILITIES', '(not set)')}",
            fix="In a container, ask for the capability compute; else install the driver's "
            "libnvidia-compute package.",
            run=[
                "docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility ...",
                "ldconfig -p | grep libcuda.so",
            ],
        )


@check(
    "cuda.device-count",
    title="CUDA sees fewer GPUs than NVML",
    needs=("python", "gpus"),
    tier="B",
    severity=Severity.WARNING,
    sources=(
        "https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/environment-variables.html",
    ),
    after=(
        "visible.hides-all",
        "visible.truncated",
        "visible.duplicate",
        "mig.no-instance",
        "cuda.init",
    ),
)
def device_count(ctx: CheckContext) -> Iterator[Finding]:
    """CUDA started and enumerates fewer devices than the driver has, although no variable hides any."""
    answer = driver_of(ctx)
    if answer.code != 0 or ctx.the_snapshot().source != "nvml":
        raise NotReportedError("CUDA did not start on these GPUs")
    healthy = [d for d in ctx.living() if not d.mig.enabled]
    if "CUDA_VISIBLE_DEVICES" not in ctx.environ and 0 < len(answer.devices) < len(healthy):
        yield warning(
            MACHINE,
            f"CUDA enumerates {len(answer.devices)} of {len(healthy)} GPUs",
            *(f"cuda:{d.ordinal} is {d.name} ({d.uuid})" for d in answer.devices),
            fix="Look for a GPU in prohibited compute mode, with an error, or hidden by a container.",
            run=["gpudoctor visible", "nvidia-smi -q -d COMPUTE"],
        )
