"""Sick and nearly sick interpreters: torch, its packages, libraries, the toolkit, settings."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

from gpudoctor.checks.context import CheckContext
from gpudoctor.checks.facts.distributions import Installed
from gpudoctor.model.environment import Cpu, Tool, Toolkit
from gpudoctor.model.probe import Pin, ProbeOutcome, PythonFacts, TorchCuda
from gpudoctor.model.snapshot import DriverFacts
from tests.checks.cases_gpu import Case
from tests.checks.world import (
    LIBRARIES,
    SITE,
    env,
    facts,
    folder_on_path,
    gpu,
    gpus,
    healthy,
    installed,
    library,
    machine,
    packages,
    probe,
    system,
    torch,
)

# Folders that checks read live as long as the test run.
_KEPT = tempfile.TemporaryDirectory()
ROOT = Path(_KEPT.name)
NOTHING_ON_BUS = machine(pci_gpus=())


def with_torch(**changes: object) -> CheckContext:
    return healthy(probe=probe(torch=torch(**changes)))


def ended(outcome: ProbeOutcome, error: str, **changes: object) -> CheckContext:
    made = probe(outcome=outcome, error=error, torch=None, cuda=None, libraries=(), driver=None)
    return healthy(probe=replace(made, **changes))


def failed(error: str) -> CheckContext:
    return ended(ProbeOutcome.IMPORT_FAILED, error)


def on_driver(version: str, cuda: tuple[int, int]) -> CheckContext:
    ctx = healthy()
    facts = DriverFacts(version, None, cuda)
    return replace(ctx, snapshot=replace(ctx.snapshot, driver=facts))


def card(capability: tuple[int, int], **torch_changes: object) -> CheckContext:
    device = gpu(facts=facts(compute_capability=capability))
    return gpus(device, probe=probe(torch=torch(**torch_changes)))


def pin(name: str, specifier: str, have: str | None) -> CheckContext:
    return healthy(probe=probe(pins=(Pin(name, specifier, "torch", have, False),)))


def companion(name: str, version: str, wanted: str, torch_version: str = "2.13.0") -> CheckContext:
    other = Installed(name, version, SITE, (f"torch{wanted}",) if wanted else ())
    return healthy(distributions=installed(("torch", torch_version), other))


def mapped(name: str, folder: str, version: str) -> CheckContext:
    strange = library(name, folder, None, version)
    return healthy(probe=probe(libraries=(strange, *LIBRARIES[1:])))


def compiler(version: str | None, path: str | None = "/usr/local/cuda/bin/nvcc") -> CheckContext:
    return healthy(toolkit=Toolkit(Tool("nvcc", path, version)))


def compilers(gcc: str, nvcc: str) -> CheckContext:
    return replace(compiler(nvcc), compiler=Tool("g++", "/usr/bin/g++", gcc))


def cuda_home(*, complete: bool) -> CheckContext:
    home = ROOT / f"cuda-{complete}"
    (home / "bin").mkdir(parents=True)
    if complete:
        (home / "bin" / "nvcc").touch()
    return healthy(toolkit=Toolkit(Tool("nvcc"), str(home), None, True))


def wrapped_nvcc() -> CheckContext:
    folder = ROOT / "local" / "bin"
    folder.mkdir(parents=True)
    (folder / "nvcc").touch()
    return compiler("13.0.88", str(folder / "nvcc"))


def site(name: str, version: str, **files: str) -> CheckContext:
    """A package with files of its own, beside the usual ones."""
    folder = ROOT / f"site-{len(list(ROOT.iterdir()))}"
    for path, text in files.items():
        place = folder / path.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    entries = packages().installed
    own = Installed(name, version, str(folder))
    return healthy(distributions=installed(*entries, own))


def xformers(built_for: str) -> CheckContext:
    stamp = json.dumps({"version": {"torch": built_for, "cuda": 1208}})
    return site("xformers", "0.0.30", **{"xformers__cpp_lib.json": stamp})


def bitsandbytes(*cudas: str) -> CheckContext:
    files = {f"bitsandbytes__libbitsandbytes_cuda{c}.so": "" for c in cudas}
    return site("bitsandbytes", "0.50.2", **files)


def flash_attn(wheel: str) -> CheckContext:
    url = json.dumps({"url": f"https://example.org/{wheel}"})
    return site("flash-attn", "2.8.3", **{"flash_attn-2.8.3.dist-info__direct_url.json": url})


def pip_of(interpreter: str) -> CheckContext:
    folder = ROOT / f"bin-{len(list(ROOT.iterdir()))}"
    folder.mkdir()
    (folder / "pip").write_text(f"#!{interpreter}\n")
    facts = PythonFacts("/venv/bin/python", "3.11", prefix="/venv")
    return healthy(probe=probe(python=facts), environ={"PATH": str(folder)})


def read_only_cache() -> CheckContext:
    return env(CUDA_CACHE_PATH="/proc/1/cache")


ROCM = {"kind": "rocm", "cuda_version": None}
CPU = {"kind": "cpu", "cuda_version": None, "version": "2.13.0+cpu"}
WHEEL = "flash_attn-2.8.3+cu12torch{}cxx11abi{}-cp311-cp311-linux_x86_64.whl"
CASES: list[Case] = [
    ("torch.missing", ended(ProbeOutcome.NO_TORCH, "No module named torch"), "not installed"),
    ("torch.missing", failed("ImportError: x"), None),
    ("torch.import", failed("ImportError: undefined symbol: __nvJitLinkAddData"), "libnvJitLink"),
    ("torch.import", failed("OSError: libcudnn.so.9: cannot open shared object file"), "cuDNN"),
    (
        "torch.import",
        failed("OSError: libcuda.so.1: cannot open shared object"),
        "driver's library",
    ),
    ("torch.import", failed("OSError: libcublasLt.so.13: cannot open shared"), "CUDA library"),
    ("torch.import", failed("ImportError: undefined symbol: iJIT_NotifyEvent"), "MKL"),
    ("torch.import", failed("AttributeError: _ARRAY_API not found"), "NumPy 2"),
    ("torch.import", failed("ImportError: version `GLIBC_2.34' not found"), "C++ library"),
    ("torch.import", failed("torch has no __version__: it is []"), "folder named torch"),
    ("torch.import", failed("RuntimeError: something new"), "import torch fails"),
    ("torch.import", ended(ProbeOutcome.TIMED_OUT, "no answer within 11 s"), "did not return"),
    ("torch.import", ended(ProbeOutcome.CRASHED, "killed by SIGSEGV"), "crashes Python"),
    ("torch.import", ended(ProbeOutcome.NO_TORCH, "none"), None),
    ("torch.probe", ended(ProbeOutcome.TIMED_OUT, "no answer", torch=torch()), "did not answer"),
    ("torch.probe", ended(ProbeOutcome.NOT_STARTED, "Exec format error"), "Exec format"),
    ("torch.probe", ended(ProbeOutcome.TIMED_OUT, "no answer"), None),
    ("torch.cpu-build", with_torch(**CPU), "without CUDA"),
    ("torch.cpu-build", with_torch(**ROCM), None),
    (
        "torch.cpu-build",
        healthy(snapshot=None, machine=NOTHING_ON_BUS, probe=probe(torch=torch(**CPU))),
        "could not use a GPU if there were one",
    ),
    ("torch.no-kernels", card((12, 0), arch_list=("sm_80", "sm_90")), "no kernels"),
    ("torch.no-kernels", card((6, 1)), "no kernels"),
    ("torch.no-kernels", card((12, 0), arch_list=("sm_90", "compute_90")), "only PTX"),
    ("torch.no-kernels", card((10, 0), arch_list=("sm_90a", "compute_90a")), "no kernels"),
    ("torch.no-kernels", card((8, 9)), None),
    ("torch.no-kernels", card((12, 1)), None),
    ("torch.driver-too-old", on_driver("550.54.14", (12, 4)), "too old"),
    ("torch.driver-too-old", on_driver("580.65.06", (13, 0)), None),
    ("torch.unavailable", healthy(probe=probe(cuda=TorchCuda(False, "no"))), "is False"),
    (
        "torch.unavailable",
        healthy(snapshot=None, machine=NOTHING_ON_BUS, probe=probe(cuda=TorchCuda(False, "no"))),
        "no GPU is seen here",
    ),
    ("torch.unavailable", healthy(), None),
    ("torch.cudnn-old-gpu", card((7, 0), cudnn_version=91100), "does not support"),
    ("torch.cudnn-old-gpu", card((7, 0), cudnn_version=91002), None),
    (
        "torch.jetson",
        healthy(machine=machine(kernel={"jetson_model": "Jetson AGX Orin"})),
        "Jetson AGX Orin",
    ),
    (
        "torch.jetson",
        healthy(
            machine=machine(kernel={"jetson_model": "Jetson AGX Orin"}),
            probe=probe(torch=torch(arch_list=("sm_87",))),
        ),
        None,
    ),
    ("torch.nightly", with_torch(version="2.14.0.dev20260901+cu130"), "development"),
    ("torch.nightly", with_torch(version="2.13.0", debug=True), "debug build"),
    ("torch.nightly", with_torch(version="2.13.0+cu130"), None),
    (
        "packages.torchvision",
        companion("torchvision", "0.27.0", "==2.12.0"),
        "built for torch==2.12",
    ),
    (
        "packages.torchvision",
        companion("torchvision", "0.28.0+cu126", "==2.13.0", "2.13.0+cu130"),
        "built for cu126",
    ),
    ("packages.torchvision", companion("torchvision", "0.28.0", "==2.13.0"), None),
    ("packages.torchaudio", companion("torchaudio", "2.10.0", "==2.10.0"), "built for torch==2.10"),
    ("packages.torchaudio", companion("torchaudio", "2.11.0", ""), None),
    ("packages.pinned-torch", companion("vllm", "0.33.0", "==2.14.0"), "vllm 0.33.0 requires"),
    ("packages.pinned-torch", companion("vllm", "0.33.0", ">=2.0"), None),
    ("packages.pinned-torch", companion("vllm", "0.33.0", "==2.13.0"), None),
    ("packages.pins", pin("nvidia-cudnn-cu13", "==9.20.0.48", None), "is not installed"),
    ("packages.pins", pin("nvidia-cublas", "==13.1.0.3", "12.8.0"), "12.8.0 is installed"),
    ("packages.pins", pin("triton", "==3.7.1", "3.6.0"), None),
    ("packages.pins", healthy(), None),
    ("packages.triton", pin("triton", "==3.7.1", "3.6.0"), "installed is 3.6.0"),
    ("packages.triton", healthy(distributions=packages(pytorch_triton="3.7")), "overwrite"),
    ("packages.triton", healthy(), None),
    (
        "packages.mixed-cuda",
        healthy(distributions=packages(nvidia_cudnn_cu12="9.10.2.21")),
        "CUDA 12 and 13",
    ),
    ("packages.mixed-cuda", healthy(distributions=packages(nvidia_nccl_cu13="2.29.7")), None),
    (
        "packages.duplicate-torch",
        healthy(distributions=installed(("torch", "2.13.0"), Installed("torch", "2.8.0", "/old"))),
        "2 torches",
    ),
    ("packages.duplicate-torch", healthy(), None),
    ("packages.xformers", xformers("2.10.0+cu128"), "built for torch 2.10.0"),
    ("packages.xformers", xformers("2.13.0+cu130"), None),
    ("packages.bitsandbytes", bitsandbytes("128", "126"), "no library for CUDA 13"),
    (
        "packages.bitsandbytes",
        replace(bitsandbytes("130"), environ={"BNB_CUDA_VERSION": "126"}),
        "overrides",
    ),
    ("packages.bitsandbytes", bitsandbytes("128", "131"), None),
    ("packages.flash-attn", flash_attn(WHEEL.format("2.8", "TRUE")), "torch 2.8"),
    ("packages.flash-attn", flash_attn(WHEEL.format("2.13", "FALSE")), "C++ ABI"),
    ("packages.flash-attn", flash_attn(WHEEL.format("2.13", "TRUE")), None),
    ("packages.pynvml", healthy(distributions=packages(pynvml="11.5.0")), "pynvml"),
    ("packages.pynvml", healthy(), None),
    ("packages.pip", pip_of("/usr/bin/python3"), "not for /venv/bin/python"),
    ("packages.pip", pip_of("/venv/bin/python3.11"), None),
    ("packages.pip", pip_of("/usr/bin/env bash"), None),
    ("libraries.cudnn", mapped("libcudnn.so.8", "/usr/lib", "8.9.7"), "that it refuses"),
    ("libraries.cudnn", mapped("libcudnn.so.9", "/usr/lib", "9.21.0"), "outside of its packages"),
    ("libraries.cudnn", healthy(), None),
    (
        "libraries.cudnn",
        healthy(
            probe=probe(pins=(), libraries=(library("libcudnn.so.9", "/usr/lib", None, "9.1"),))
        ),
        None,  # torch of NVIDIA's containers is built against the system's libraries
    ),
    ("libraries.nvjitlink", failed("undefined symbol: __nvJitLinkAddData_12_1"), "older"),
    (
        "libraries.nvjitlink",
        mapped("libnvJitLink.so.12", "/usr/local/cuda/lib64", "12.1"),
        "outside",
    ),
    ("libraries.nvjitlink", healthy(), None),
    ("libraries.path", folder_on_path("/opt/cuda/lib64", "libcudnn.so.8"), "/opt/cuda/lib64"),
    ("libraries.path", folder_on_path("/gone", exists=False), "do not exist"),
    ("libraries.path", folder_on_path("/opt/lib", "libcufft.so.11"), None),
    ("libraries.path", folder_on_path(f"{SITE}/nvidia/cudnn/lib", "libcudnn.so.9"), None),
    ("libraries.nccl", mapped("libnccl.so.2", "/usr/lib", "2.18.1"), "outside of its packages"),
    ("libraries.nccl", healthy(), None),
    ("libraries.preload", env(LD_PRELOAD="/opt/libvgpu.so"), "libvgpu"),
    ("libraries.preload", env(LD_PRELOAD="/usr/lib/libjemalloc.so"), None),
    ("toolkit.nvcc", compiler("12.4.131"), "nvcc is of CUDA 12.4, torch of 13.0"),
    ("toolkit.nvcc", compiler("13.1.80"), "in general"),
    ("toolkit.nvcc", compiler("13.0.88"), None),
    ("toolkit.cuda-home", cuda_home(complete=False), "has no bin/nvcc"),
    ("toolkit.cuda-home", wrapped_nvcc(), "torch would take"),
    ("toolkit.cuda-home", cuda_home(complete=True), None),
    ("toolkit.host-compiler", compilers("15.1.0", "12.8.93"), "below 15"),
    ("toolkit.host-compiler", compilers("14.2.0", "12.8.93"), None),
    ("settings.launch-blocking", env(CUDA_LAUNCH_BLOCKING="1"), "waits for every kernel"),
    ("settings.launch-blocking", env(CUDA_LAUNCH_BLOCKING="0"), None),
    ("settings.debug", env(CUDA_FORCE_PTX_JIT="1"), "compiled anew"),
    ("settings.debug", env(CUDA_MODULE_LOADING="eager"), "all kernels"),
    ("settings.debug", env(CUDA_MODULE_LOADING="LAZY", NCCL_DEBUG="INFO"), None),
    ("settings.injected-tools", env(CUDA_INJECTION64_PATH="/x.so"), "profiling"),
    ("settings.injected-tools", env(CUDA_CACHE_PATH="/tmp"), None),
    ("settings.allocator", env(PYTORCH_ALLOC_CONF="expandable_segments:true"), "True or False"),
    ("settings.allocator", env(PYTORCH_CUDA_ALLOC_CONF="max_split_size_mb:10"), "at least 20"),
    ("settings.allocator", env(PYTORCH_ALLOC_CONF="max_split_size_mb=128"), "key:value"),
    ("settings.allocator", env(PYTORCH_ALLOC_CONF="garbage_collection_threshold:2"), "0 and 1"),
    ("settings.allocator", env(PYTORCH_ALLOC_CONF="roundup_power2_divisions:3"), "power of 2"),
    ("settings.allocator", env(PYTORCH_ALLOC_CONF="expandable_segment:True"), "not a known key"),
    (
        "settings.allocator",
        env(
            PYTORCH_ALLOC_CONF="backend:native",
            PYTORCH_CUDA_ALLOC_CONF="backend:cudaMallocAsync",
        ),
        "both set and differ",
    ),
    (
        "settings.allocator",
        replace(
            env(PYTORCH_ALLOC_CONF="expandable_segments:True"),
            probe=probe(torch=torch(version="2.7.1")),
        ),
        "does not know",
    ),
    (
        "settings.allocator",
        env(PYTORCH_ALLOC_CONF="roundup_power2_divisions:[256:1,>:4], expandable_segments:True"),
        None,
    ),
    ("settings.nccl", env(NCCL_P2P_DISABLE="1"), "slower"),
    ("settings.nccl", env(NCCL_SOCKET_IFNAME="ib0"), "names no network interface"),
    ("settings.nccl", env(NCCL_SOCKET_IFNAME="eth", NCCL_P2P_DISABLE="0"), None),
    ("settings.nccl", env(NCCL_SOCKET_IFNAME="^lo,docker"), None),
    ("settings.nccl", env(NCCL_SOCKET_IFNAME="=eth0"), None),
    ("settings.threads", env(OMP_NUM_THREADS="1"), "OMP_NUM_THREADS=1"),
    ("settings.threads", env(OMP_NUM_THREADS="1", LOCAL_RANK="0"), None),
    ("settings.threads", env(OMP_NUM_THREADS="8"), None),
    (
        "settings.threads",
        replace(env(OMP_NUM_THREADS="1"), system=system(cpu=Cpu(logical=2, usable=2))),
        None,
    ),
    ("settings.arch-list", env(TORCH_CUDA_ARCH_LIST="9.0;sm_80"), "sm_80"),
    ("settings.arch-list", env(TORCH_CUDA_ARCH_LIST="8.0"), "does not cover"),
    ("settings.arch-list", env(TORCH_CUDA_ARCH_LIST="8.0+PTX"), None),
    ("settings.arch-list", env(TORCH_CUDA_ARCH_LIST="8.0;9.0a"), None),
    ("settings.arch-list", env(TORCH_CUDA_ARCH_LIST="Hopper"), None),
    ("settings.nvml-check", env(PYTORCH_NVML_BASED_CUDA_CHECK="1"), "trusts NVML"),
    ("settings.nvml-check", env(PYTORCH_NVML_BASED_CUDA_CHECK="0"), None),
    ("settings.jit-cache", read_only_cache(), "cannot be written"),
    ("settings.jit-cache", env(CUDA_CACHE_PATH=str(ROOT)), None),
]
