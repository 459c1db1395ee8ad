"""The build of torch: is it one for CUDA, for this driver, for these GPUs?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.make import MACHINE, PYTHON, error, gpu, info, torch_issue, warning
from gpudoctor.checks.registry import check
from gpudoctor.checks.versions import (
    Version,
    builds_with,
    cuda_builds_for,
    dotted,
    least_driver,
    minor,
    table,
    version,
    wheel_index,
)
from gpudoctor.model.finding import Finding, Severity
from gpudoctor.model.probe import TorchBuild
from gpudoctor.model.snapshot import Device

_GET_STARTED = "https://pytorch.org/get-started/locally/"
_COMPAT = "https://docs.nvidia.com/deploy/cuda-compatibility/"
# torch.cuda's own table of devices (DEVICE_REQUIREMENT) sets these apart.
_TEGRA = {(5, 3), (6, 2), (7, 2), (8, 7), (10, 1), (11, 0)}
_ARCH = re.compile(r"^(sm|compute)_(\d+)(\d)([af]?)$")


@check(
    "torch.cpu-build",
    title="A torch without CUDA on a machine with GPUs",
    needs=("torch",),
    tier="A",
    severity=Severity.ERROR,
    sources=(torch_issue(28111), _GET_STARTED),
)
def cpu_build(ctx: CheckContext) -> Iterator[Finding]:
    """The installed torch was built for the CPU only, so that torch.cuda.is_available() is False whatever
    the driver does. pip takes such a build from the CPU index, on other systems than Linux, and on
    architectures for which there is no other."""
    built = ctx.torch()
    if built.kind != "cpu":
        return
    gpus = ctx.snapshot.devices if ctx.snapshot else ()
    on_bus = ctx.machine.pci_gpus if ctx.machine else ()
    if not gpus and not on_bus:
        yield info(
            PYTHON,
            f"torch {built.version} was built without CUDA: it could not use a GPU if there were one",
            f"torch.version.cuda: None; from {built.path}",
        )
        return
    python = ctx.the_probe().executable
    yield error(
        PYTHON,
        f"torch {built.version} was built without CUDA, and this machine has GPUs",
        f"GPUs: {', '.join(sorted({d.facts.name for d in gpus})) or f'{len(on_bus)} on the PCI bus'}",
        f"torch.version.cuda: None; from {built.path}",
        fix="Replace it by a build for a CUDA version that the driver supports.",
        run=[
            f"{python} -m pip uninstall -y torch torchvision torchaudio",
            _install(ctx, built, python),
        ],
    )


def _install(ctx: CheckContext, built: TorchBuild, python: str) -> str:
    """The command that installs the same torch for a CUDA that suits the driver and the GPUs."""
    fitting = _fitting_builds(ctx)
    release = built.version.partition("+")[0]
    published = table("torch")["pypi"].get(release)
    own = minor(published["cuda"]) if published else ()
    if own in fitting:
        return f"{python} -m pip install torch=={release} --index-url {wheel_index(own)}"
    index = f" --index-url {wheel_index(fitting[0])}" if fitting else ""
    return f"{python} -m pip install torch{index}"


def _fitting_builds(ctx: CheckContext) -> list[Version]:
    """CUDA versions of torch's wheels that run here, best first: those that the driver knows, then those
    that run by minor version compatibility."""
    driver = ctx.snapshot.driver if ctx.snapshot else None
    fitting = cuda_builds_for(driver.version if driver else None)
    for device in ctx.snapshot.devices if ctx.snapshot else ():
        capability = device.facts.compute_capability
        if capability is not None:
            fitting = [b for b in fitting if b in builds_with(capability, _architecture(ctx))]
    known = driver.cuda_version if driver else None
    return sorted(fitting, key=lambda build: known is not None and build > known)


def _architecture(ctx: CheckContext) -> str:
    return (ctx.system.machine if ctx.system else None) or "x86_64"


def has_kernels(arch_list: tuple[str, ...], capability: tuple[int, int]) -> str | None:
    """ "kernels", "ptx" (compiled at the first run) or None: what the build has for this GPU.

    Binary kernels run on GPUs of the same major version and the same or a newer minor one; PTX on all
    newer GPUs; names with an "a" only on exactly that GPU. Those of Tegra run on nothing else, and
    Tegra runs no other's.
    """
    best = None
    for name in arch_list:
        match = _ARCH.match(name)
        if match is None:
            continue
        kind, found, suffix = match[1], (int(match[2]), int(match[3])), match[4]
        alone = suffix == "a" or (kind == "sm" and {found, capability} & _TEGRA)
        if alone and found != capability:
            continue
        if kind == "sm" and found[0] == capability[0] and found <= capability:
            return "kernels"
        if kind == "compute" and found <= capability:
            best = "ptx"
    return best


@check(
    "torch.no-kernels",
    title="This torch has no kernels for the GPU",
    needs=("cuda torch", "gpus"),
    tier="A",
    severity=Severity.ERROR,
    sources=(
        torch_issue(150733),
        "https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/compute-capabilities.html",
    ),
)
def no_kernels(ctx: CheckContext) -> Iterator[Finding]:
    """torch.cuda.is_available() is True and the first kernel fails with "no kernel image is available":
    the build was compiled for other GPU generations. With PTX only, the first run compiles everything,
    which takes minutes."""
    built = ctx.cuda_torch()
    arch_list = ctx.need("arch list", built.arch_list or None, "torch names no architectures")
    for device, capability in ctx.reporting(lambda d: d.facts.compute_capability):
        have = has_kernels(arch_list, capability)
        if have == "kernels":
            continue
        number = dotted(capability)
        evidence = f"torch {built.version} was built for: {', '.join(arch_list)}"
        if have == "ptx":
            yield warning(
                gpu(device),
                f"torch has only PTX for compute capability {number}: the first run compiles it",
                evidence,
                fix="Install a build with kernels for this GPU, or let CUDA keep what it compiles.",
                run=[_fitting(ctx, device), "export CUDA_CACHE_MAXSIZE=4294967296"],
            )
        else:
            yield error(
                gpu(device),
                f"this torch has no kernels for {device.facts.name} (compute capability {number})",
                evidence,
                fix="Install a build of torch that was compiled for this GPU.",
                run=[_fitting(ctx, device)],
            )


def _fitting(ctx: CheckContext, device: Device) -> str:
    python = ctx.the_probe().executable
    capability = device.facts.compute_capability or (0, 0)
    allowed = cuda_builds_for(ctx.snapshot.driver.version if ctx.snapshot else None)
    for build in builds_with(capability, _architecture(ctx)):
        if build in allowed:
            return (
                f"{python} -m pip install --force-reinstall torch --index-url {wheel_index(build)}"
            )
    newest = max((minor(n) for n in table("torch")["wheel_architectures"]), default=())
    if capability >= (7, 5):
        return f"{python} -m pip install --force-reinstall torch --index-url {wheel_index(newest)}"
    return f"{python} -m pip install torch --index-url {wheel_index((12, 6))}  # or an older torch"


@check(
    "torch.driver-too-old",
    title="The driver is too old for torch's CUDA",
    needs=("cuda torch", "driver"),
    tier="A",
    severity=Severity.ERROR,
    sources=(
        _COMPAT,
        "https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/index.html",
        torch_issue(162531),
    ),
)
def driver_too_old(ctx: CheckContext) -> Iterator[Finding]:
    """Every major version of CUDA needs a driver of a certain age. Below it torch says "The NVIDIA driver
    on your system is too old". A driver of the same major version and a smaller minor one works, with
    few exceptions."""
    built = ctx.cuda_torch()
    cuda = built.cuda_version or ""
    driver = ctx.need("driver version", ctx.the_snapshot().driver.version, "its version is hidden")
    least = ctx.need("least driver", least_driver(cuda), f"no table for CUDA {cuda}")
    supported = ctx.the_snapshot().driver.cuda_version
    if version(driver) < version(least):
        yield error(
            MACHINE,
            f"driver {driver} is too old: torch {built.version} needs {least} for CUDA {cuda}",
            f"the driver supports CUDA up to {dotted(supported) if supported else 'an unknown version'}",
            fix="Update the driver, or install a torch for a CUDA version that this driver supports.",
            run=_ways_out(ctx, driver, least),
        )
    elif supported and supported[0] == version(cuda)[0] and supported < minor(cuda):
        yield info(
            MACHINE,
            f"torch was built for CUDA {dotted(minor(cuda))}; the driver knows {dotted(supported)}",
            "programs of the same major version run (minor version compatibility); PTX that is newer "
            "than the driver does not",
            fix="Nothing has to be done unless something fails with an unsupported PTX version.",
        )


def _ways_out(ctx: CheckContext, driver: str, least: str) -> list[str]:
    python = ctx.the_probe().executable
    fitting = cuda_builds_for(driver)
    commands = [f"sudo apt install nvidia-driver-{version(least)[0]}"]
    if fitting:
        commands.append(f"{python} -m pip install torch --index-url {wheel_index(fitting[0])}")
    return commands


@check(
    "torch.unavailable",
    title="torch.cuda.is_available() is False",
    needs=("torch",),
    tier="A",
    severity=Severity.ERROR,
    sources=("https://docs.pytorch.org/docs/stable/generated/torch.cuda.is_available.html",),
    after=(
        "driver.no-gpu",
        "torch.cpu-build",
        "torch.driver-too-old",
        "cuda.init",
        "cuda.library-missing",
        "visible.hides-all",
        "visible.duplicate",
        "container.no-gpu",
        "container.lost-gpu",
        "driver.not-loaded",
        "driver.version-mismatch",
        "driver.uvm",
        "driver.fabric-manager",
        "driver.hangs",
        "mig.no-instance",
    ),
)
def unavailable(ctx: CheckContext) -> Iterator[Finding]:
    """torch cannot use a GPU: an error where there are some, else worth knowing. The cause stands above
    it where it was found; the evidence is what torch itself says."""
    cuda = ctx.torch_cuda()
    available = ctx.need("is_available", cuda.available, "torch did not answer")
    gpus = ctx.snapshot.devices if ctx.snapshot else ()
    on_bus = ctx.machine.pci_gpus if ctx.machine and not ctx.in_container else ()
    if available:
        return
    if not gpus and not on_bus:
        said = [cuda.error] if cuda.error else []
        yield info(PYTHON, "torch.cuda.is_available() is False, and no GPU is seen here", *said)
        return
    yield error(
        PYTHON,
        "torch.cuda.is_available() is False although there are GPUs",
        *([cuda.error] if cuda.error else []),
        *cuda.warnings[:3],
        fix="Solve the cause, where one is named with it; `gpudoctor env` shows all facts.",
        run=["gpudoctor env", "gpudoctor visible"],
    )


@check(
    "torch.cudnn-old-gpu",
    title="A cuDNN that no longer supports the GPU",
    needs=("cuda torch", "gpus"),
    tier="C",
    severity=Severity.ERROR,
    sources=("https://github.com/pytorch/pytorch/blob/v2.13.0/torch/backends/cudnn/__init__.py",),
)
def cudnn_old_gpu(ctx: CheckContext) -> Iterator[Finding]:
    """cuDNN 9.11 and newer need compute capability 7.5; torch raises on older GPUs."""
    cudnn = ctx.need("cudnn", ctx.cuda_torch().cudnn_version, "torch tells no version of cuDNN")
    for device, capability in ctx.reporting(lambda d: d.facts.compute_capability):
        if cudnn >= 91100 and capability < (7, 5):
            yield error(
                gpu(device),
                f"cuDNN {cudnn} does not support compute capability {dotted(capability)}",
                fix="Install a torch for CUDA 12.6, which brings an older cuDNN.",
                run=[
                    f"{ctx.the_probe().executable} -m pip install torch --index-url {wheel_index((12, 6))}"
                ],
            )


@check(
    "torch.jetson",
    title="A server's wheel on a Jetson",
    needs=("torch", "machine"),
    tier="C",
    severity=Severity.WARNING,
    sources=("https://docs.nvidia.com/deeplearning/frameworks/install-pytorch-jetson-platform/",),
)
def jetson(ctx: CheckContext) -> Iterator[Finding]:
    """The wheels of PyPI for 64-bit ARM have kernels for servers' GPUs, not for those of Jetson boards."""
    model = ctx.need("jetson", ctx.the_machine().kernel.jetson_model, "this is no Jetson")
    arch_list = ctx.torch().arch_list or ()
    if not any(has_kernels(arch_list, tegra) == "kernels" for tegra in _TEGRA):
        yield warning(
            MACHINE,
            f"this is a {model}, and torch {ctx.torch().version} has no kernels for its GPU",
            f"built for: {', '.join(arch_list) or 'the CPU'}",
            fix="Install the wheel that NVIDIA builds for this JetPack.",
        )


@check(
    "torch.nightly",
    title="A development build of torch",
    needs=("torch",),
    tier="I",
    severity=Severity.INFO,
    sources=(_GET_STARTED,),
)
def nightly(ctx: CheckContext) -> Iterator[Finding]:
    """A nightly or self-built torch: published tables of what fits which version do not hold for it."""
    built = ctx.torch()
    if re.search(r"dev\d|a0\b|\+git", built.version):
        yield info(
            PYTHON,
            f"torch {built.version} is a development build",
            f"git revision {built.git_revision}",
            fix="When something fails, try the newest release before you report it.",
        )
    elif built.debug:
        yield info(PYTHON, f"torch {built.version} is a debug build, which is slow")
