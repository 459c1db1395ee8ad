"""Asks an interpreter about itself. Run by path in the interpreter under test, Python 3.9 or newer.

Writes one marked line of JSON for every answer as soon as it is there, so that a crash or a hang in
one question does not lose the others, and noise on stdout does not hide them. stdlib and that
interpreter's own torch only; nothing here imports gpudoctor.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import platform
import sys
import time
import warnings
from typing import Any, Callable, Dict, List, Optional

MARK = "@gpudoctor-probe "

# The folder of this file would otherwise come first and let its neighbours shadow real modules.
if sys.path and os.path.abspath(sys.path[0]) == os.path.dirname(os.path.abspath(__file__)):
    del sys.path[0]


def say(key: str, value: Any) -> None:
    """One answer. It begins with a line break because a library may have left a line open."""
    sys.stdout.write("\n" + MARK + json.dumps({key: value}) + "\n")
    sys.stdout.flush()


def ask(key: str, question: Callable[[], Any]) -> None:
    """Run one question; its failure is an answer too."""
    say("asking", key)
    try:
        say(key, question())
    except BaseException as error:
        say("failure", [key, describe(error)])


def describe(error: BaseException) -> str:
    """An exception as one line with its type."""
    text = str(error).strip()
    return type(error).__name__ + (": " + text if text else "")


def maybe(function: Callable[[], Any]) -> Any:
    """What `function` returns, or None where this torch does not have it."""
    try:
        return function()
    except Exception:
        return None


def python_facts() -> Dict[str, Any]:
    """The interpreter."""
    libc = "-".join(part for part in platform.libc_ver() if part)
    in_venv = sys.prefix != sys.base_prefix
    return {
        "executable": sys.executable,
        "version": platform.python_version(),
        "build": sys.version.replace("\n", " "),
        "implementation": platform.python_implementation(),
        "bits": sys.maxsize.bit_length() + 1,
        "prefix": sys.prefix,
        "virtual_env": sys.prefix if in_venv else None,
        "conda_prefix": sys.prefix if os.path.isdir(sys.prefix + "/conda-meta") else None,
        "platform": platform.platform(),
        "libc": libc or None,
        "search_path": [place for place in sys.path if place],
    }


def packages() -> List[Dict[str, Any]]:
    """Every installed distribution, the first on sys.path where there are two of a name."""
    from importlib import metadata

    found: Dict[str, Dict[str, Any]] = {}
    for dist in metadata.distributions():
        try:
            key = dist.metadata["Name"].lower().replace("_", "-").replace(".", "-")
            row = {"name": key, "version": str(dist.version), "location": str(dist.locate_file(""))}
        except Exception:
            # A broken dist-info folder names nothing that could be reported.
            continue
        found.setdefault(key, row)
    return sorted(found.values(), key=lambda row: row["name"])


def requirements() -> Dict[str, List[str]]:
    """What torch and the meta packages that it may go through require, as their metadata say."""
    from importlib import metadata

    answer = {}
    for name in ("torch", "cuda-toolkit", "triton"):
        try:
            lines = metadata.requires(name)
        except metadata.PackageNotFoundError:
            continue
        if lines:
            answer[name] = list(lines)
    return answer


def markers() -> Dict[str, str]:
    """The values that environment markers of requirements are compared with."""
    return {
        "os_name": os.name,
        "sys_platform": sys.platform,
        "platform_machine": platform.machine(),
        "platform_system": platform.system(),
        "platform_release": platform.release(),
        "platform_version": platform.version(),
        "platform_python_implementation": platform.python_implementation(),
        "python_version": "%d.%d" % sys.version_info[:2],
        "python_full_version": platform.python_version(),
        "implementation_name": sys.implementation.name,
    }


def import_torch() -> Any:
    """torch, or None; says whether it is missing, failed, or how long it took."""
    say("asking", "import torch")
    begun = time.perf_counter()
    try:
        import torch
    except BaseException as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "torch"
        say("no_torch" if missing else "import_failed", describe(error))
        return None
    if not hasattr(torch, "__version__"):
        # A folder named torch on the path imports as an empty namespace.
        say("import_failed", "torch has no __version__: it is " + repr(list(torch.__path__)))
        return None
    say("import_seconds", time.perf_counter() - begun)
    return torch


def torch_kind(torch: Any) -> str:
    """Which accelerator this torch was built for."""
    if getattr(torch.version, "cuda", None):
        return "cuda"
    if getattr(torch.version, "hip", None):
        return "rocm"
    return "xpu" if getattr(torch.version, "xpu", None) else "cpu"


def torch_build(torch: Any) -> Dict[str, Any]:
    """The build of torch; what an old or a CPU torch does not know is None."""
    config = maybe(lambda: torch.__config__.show())
    nccl = maybe(lambda: torch.cuda.nccl.version())
    return {
        "version": str(torch.__version__),
        "kind": torch_kind(torch),
        "path": getattr(torch, "__file__", None),
        "debug": maybe(lambda: bool(torch.version.debug)),
        "git_revision": maybe(lambda: torch.version.git_version),
        "cxx11_abi": maybe(lambda: bool(torch.compiled_with_cxx11_abi())),
        "cuda_version": maybe(lambda: torch.version.cuda),
        "hip_version": maybe(lambda: torch.version.hip),
        "hip_runtime_version": last_word(config, "HIP Runtime"),
        "miopen_version": last_word(config, "MIOpen"),
        "cudnn_version": maybe(lambda: torch.backends.cudnn.version()),
        "nccl_version": ".".join(map(str, nccl)) if isinstance(nccl, tuple) else None,
        "arch_list": maybe(lambda: list(torch.cuda.get_arch_list())),
        "config": config,
    }


def last_word(text: Optional[str], prefix: str) -> Optional[str]:
    """The last word of the first line of `text` that contains `prefix`."""
    lines = [line for line in (text or "").splitlines() if prefix in line]
    return lines[0].rsplit(None, 1)[-1] if lines else None


# Attributes and functions without arguments, as one would write them; a missing one is left out.
SWITCHES = (
    "torch.backends.cudnn.enabled",
    "torch.backends.cudnn.benchmark",
    "torch.backends.cudnn.benchmark_limit",
    "torch.backends.cudnn.deterministic",
    "torch.backends.cudnn.allow_tf32",
    "torch.backends.cuda.matmul.allow_tf32",
    "torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction",
    "torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction",
    "torch.backends.fp32_precision",
    "torch.backends.cuda.matmul.fp32_precision",
    "torch.backends.cudnn.fp32_precision",
    "torch.backends.cudnn.conv.fp32_precision",
    "torch.backends.cudnn.rnn.fp32_precision",
    "torch.get_float32_matmul_precision()",
    "torch.are_deterministic_algorithms_enabled()",
    "torch.is_deterministic_algorithms_warn_only_enabled()",
    "torch.backends.cuda.flash_sdp_enabled()",
    "torch.backends.cuda.mem_efficient_sdp_enabled()",
    "torch.backends.cuda.math_sdp_enabled()",
    "torch.backends.cuda.cudnn_sdp_enabled()",
    "torch.get_default_dtype()",
    "torch.get_num_threads()",
    "torch.get_num_interop_threads()",
    "torch.multiprocessing.get_sharing_strategy()",
)


def switches(torch: Any) -> Dict[str, str]:
    """torch's switches as they stand right after the import."""
    answer = {}
    for name in SWITCHES:
        try:
            value: Any = torch
            for part in name.replace("()", "").split(".")[1:]:
                value = getattr(value, part)
            answer[name] = str(value() if name.endswith("()") else value)
        except (AttributeError, AssertionError):  # an older torch asserts that it knows the name
            continue
        except Exception as error:
            say("failure", [name, describe(error)])
    return answer


def torch_cuda(torch: Any) -> Dict[str, Any]:
    """CUDA as torch sees it. Starts the driver, but only where torch itself would."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        available = bool(torch.cuda.is_available())
        error = None
        if not available:
            # Only the forced start says why; where it fails it leaves nothing on a GPU.
            try:
                torch.cuda.init()
            except BaseException as failure:
                error = describe(failure)
        count = maybe(lambda: torch.cuda.device_count())
        devices = [torch_device(torch, i) for i in range(count or 0)] if available else []
    return {
        "available": available,
        "error": error,
        "warnings": [str(item.message) for item in caught],
        "device_count": count,
        "devices": devices,
        "allocator_config": os.environ.get("PYTORCH_ALLOC_CONF")
        or os.environ.get("PYTORCH_CUDA_ALLOC_CONF")
        or os.environ.get("PYTORCH_HIP_ALLOC_CONF"),
        "allocator_backend": maybe(lambda: torch.cuda.get_allocator_backend()),
        "module_loading": os.environ.get("CUDA_MODULE_LOADING"),
        "xpu_available": maybe(lambda: bool(torch.xpu.is_available())),
        "xnnpack_available": maybe(
            lambda: bool(importlib.import_module("torch.backends.xnnpack").enabled)
        ),
    }


def torch_device(torch: Any, ordinal: int) -> Dict[str, Any]:
    """One device as torch describes it."""
    properties = torch.cuda.get_device_properties(ordinal)
    uuid = getattr(properties, "uuid", None)
    bus = getattr(properties, "pci_bus_id", None)
    address = None
    if isinstance(bus, int):
        address = "%08X:%02X:%02X.0" % (properties.pci_domain_id, bus, properties.pci_device_id)
    return {
        "ordinal": ordinal,
        "name": properties.name,
        "uuid": None if uuid is None else "GPU-" + str(uuid),
        "pci_bus_id": address,
        "compute_capability": [properties.major, properties.minor],
        "memory_total_bytes": properties.total_memory,
    }


def cuda_driver() -> Dict[str, Any]:
    """libcuda asked directly: why CUDA does not start, and which GPU stands at which ordinal."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return {"error": str(error)}
    code = cuda.cuInit(0)
    version = ctypes.c_int(0)
    known = cuda.cuDriverGetVersion(ctypes.byref(version)) == 0
    answer: Dict[str, Any] = {
        "library": mapped_path("libcuda.so"),
        "code": code,
        "name": error_name(cuda, code),
        "driver_version": [version.value // 1000, version.value % 1000 // 10] if known else None,
        "devices": [],
    }
    count = ctypes.c_int(0)
    if code == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0:
        answer["devices"] = [driver_device(cuda, ordinal) for ordinal in range(count.value)]
    return answer


def error_name(cuda: ctypes.CDLL, code: int) -> Optional[str]:
    """CUDA's own name of an error, such as CUDA_ERROR_NO_DEVICE."""
    text = ctypes.c_char_p()
    if code and cuda.cuGetErrorName(code, ctypes.byref(text)) == 0 and text.value:
        return text.value.decode(errors="replace")
    return None


def driver_device(cuda: ctypes.CDLL, ordinal: int) -> Dict[str, Any]:
    """One device as the driver describes it, without making a context on it."""
    device = ctypes.c_int(0)
    answer: Dict[str, Any] = {"ordinal": ordinal}
    if cuda.cuDeviceGet(ctypes.byref(device), ordinal) != 0:
        return answer
    text = ctypes.create_string_buffer(256)
    if cuda.cuDeviceGetName(text, 256, device) == 0:
        answer["name"] = text.value.decode(errors="replace")
    if cuda.cuDeviceGetPCIBusId(text, 256, device) == 0:
        answer["pci_bus_id"] = text.value.decode(errors="replace")
    answer["uuid"] = device_uuid(cuda, device)
    total = ctypes.c_size_t(0)
    if cuda.cuDeviceTotalMem_v2(ctypes.byref(total), device) == 0:
        answer["memory_total_bytes"] = total.value
    values = [ctypes.c_int(0), ctypes.c_int(0)]
    # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
    codes = [cuda.cuDeviceGetAttribute(ctypes.byref(values[i]), 75 + i, device) for i in (0, 1)]
    if codes == [0, 0]:
        answer["compute_capability"] = [value.value for value in values]
    return answer


def device_uuid(cuda: ctypes.CDLL, device: ctypes.c_int) -> Optional[str]:
    """The UUID as nvidia-smi prints it. On a MIG device the newer call answers for the instance."""
    whole = raw_uuid(cuda, "cuDeviceGetUuid", device)
    part = raw_uuid(cuda, "cuDeviceGetUuid_v2", device)
    chosen = part or whole
    if chosen is None:
        return None
    prefix = "MIG-" if part and whole and part != whole else "GPU-"
    text = chosen.hex()
    return prefix + "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def raw_uuid(cuda: ctypes.CDLL, function: str, device: ctypes.c_int) -> Optional[bytes]:
    """16 bytes, or None where the driver lacks the call."""
    raw = ctypes.create_string_buffer(16)
    try:
        return raw.raw if getattr(cuda, function)(raw, device) == 0 else None
    except AttributeError:
        return None


def mapped_files() -> List[str]:
    """The files mapped into this process, each once."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        fields = (line.rstrip("\n").split(None, 5) for line in maps)
        return sorted({row[5] for row in fields if len(row) == 6 and row[5].startswith("/")})


def mapped_path(name: str) -> Optional[str]:
    """The mapped file whose name begins with `name`."""
    paths = [path for path in mapped_files() if os.path.basename(path).startswith(name)]
    return paths[0] if paths else None


def shared_objects() -> List[str]:
    """The mapped shared libraries."""
    return [path for path in mapped_files() if ".so" in os.path.basename(path)]


def main() -> None:
    """Ask everything, the harmless questions first."""
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    ask("python", python_facts)
    if what == "devices":
        ask("driver", cuda_driver)
        say("done", True)
        return
    ask("markers", markers)
    ask("packages", packages)
    ask("requirements", requirements)
    torch = import_torch()
    if torch is not None:
        ask("torch", lambda: torch_build(torch))
        ask("switches", lambda: switches(torch))
        ask("mapped", shared_objects)
        ask("cuda", lambda: torch_cuda(torch))
    ask("driver", cuda_driver)
    ask("mapped", shared_objects)
    say("done", True)


if __name__ == "__main__":
    main()
