"""What the torch that the script itself imported says about itself. Starts nothing: no CUDA, no import."""

from __future__ import annotations

from typing import Any, Dict, Optional


def torch_facts(
    torch: Any, import_seconds: Optional[float], error: Optional[str]
) -> Optional[Dict[str, Any]]:
    """None where the script has not imported torch; CUDA's facts only where it has begun to use CUDA."""
    if torch is None or not hasattr(torch, "__version__"):
        return {"version": None, "error": error} if error else None
    facts: Dict[str, Any] = {
        "version": str(torch.__version__),
        "import_seconds": import_seconds,
        "error": error,
        "cuda_version": None,
        "devices": [],
    }
    try:
        facts["cuda_version"] = torch.version.cuda
        facts["threads"] = torch.get_num_threads()
        if torch.cuda.is_initialized():
            cudnn = torch.backends.cudnn
            facts["devices"] = _devices(torch)
            facts["cudnn_version"] = cudnn.version()
            facts["matmul_tf32"] = _tf32(torch.backends.cuda.matmul, torch.backends.cuda.matmul)
            facts["conv_tf32"] = _tf32(getattr(cudnn, "conv", cudnn), cudnn)
            facts["cudnn_benchmark"] = cudnn.benchmark
    except Exception as trouble:
        facts["error"] = f"{type(trouble).__name__}: {trouble}"
    return facts


def _tf32(settings: Any, before: Any) -> bool:
    """Whether fp32 is multiplied as TF32; `before` has the switch of torch before 2.9, which newer ones
    may refuse to read."""
    try:
        return bool(settings.fp32_precision == "tf32")
    except (AttributeError, AssertionError):  # older ones assert that they know the name
        return bool(before.allow_tf32)


def _devices(torch: Any) -> Any:
    devices = []
    for index in range(torch.cuda.device_count()):
        stats = torch.cuda.memory_stats(index)
        if not stats.get("allocation.all.allocated", 0):
            continue
        properties = torch.cuda.get_device_properties(index)
        devices.append(
            {
                "index": index,
                "name": properties.name,
                "capability": [properties.major, properties.minor],
                "memory_total_bytes": properties.total_memory,
                "memory_peak_bytes": stats.get("allocated_bytes.all.peak"),
                "memory_reserved_peak_bytes": stats.get("reserved_bytes.all.peak"),
                "allocator_retries": stats.get("num_alloc_retries"),
                "out_of_memory": stats.get("num_ooms"),
            }
        )
    return devices
