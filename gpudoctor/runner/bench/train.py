"""One process of `gpudoctor bench cudnn`: one network, one mode, from a cold start."""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from typing import Any, Dict, List, Optional

from ..files import replace


def main() -> None:
    """Reads OPTIONS (JSON) from sys.argv and writes its result to the file that they name."""
    options: Dict[str, Any] = json.loads(sys.argv[1])
    try:
        import torch
    except ImportError as error:
        _write(options, {"error": f"{type(error).__name__}: {error}", "no_torch": True})
        return
    try:
        result = facts(torch, options) if options.get("facts") else measure(torch, options)
    except Exception as error:
        _write(options, {"error": f"{type(error).__name__}: {error}"[:2000]})
        raise
    _write(options, result)


def facts(torch: Any, options: Dict[str, Any]) -> Dict[str, Any]:
    """Which torch this is, and on what it would run."""
    from .networks import NETWORKS

    cuda = torch.cuda.is_available()
    wanted = options.get("device") or ("cuda:0" if cuda else "cpu")
    on_cuda = cuda and wanted.startswith("cuda")
    cudnn = torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None
    return {
        "device": wanted,
        "cuda_available": cuda,
        "device_name": torch.cuda.get_device_name(wanted) if on_cuda else None,
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": None if cudnn is None else str(cudnn),
        "hip": getattr(torch.version, "hip", None),
        "driver": _driver() if on_cuda else None,
        "threads": torch.get_num_threads(),
        "networks": list(NETWORKS),
    }


def _driver() -> Optional[str]:
    try:
        with open("/sys/module/nvidia/version") as file:
            return file.read().strip() or None
    except OSError:
        return None


def measure(torch: Any, options: Dict[str, Any]) -> Dict[str, Any]:
    """Warm-up and steady steps, steps with new shapes, and the bits after a few steps."""
    from . import bits
    from .modes import MODES, operators
    from .subjects import Subject

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        MODES[options["mode"]]()
        subject = Subject(options)
        times = _timed(torch, subject, options["warmup"] + options["steps"])
        result: Dict[str, Any] = {
            "warmup_seconds": times[: options["warmup"]],
            "step_seconds": times[options["warmup"] :],
            "peak_memory_bytes": _peak(torch, subject.device),
            "batch": subject.batch_size,
            "size": subject.size,
        }
        if options["shapes"] and subject.size:
            result.update(_shapes(torch, subject, options["shapes"]))
        if options["check_steps"]:
            del subject
            fresh = Subject(options)
            marks, values = bits.train(fresh, options["check_steps"])
            result["marks"] = marks
            result["differences"] = _beside(torch, values, options)
    result["operators"] = operators(warned)
    return result


def _timed(torch: Any, subject: Any, steps: int) -> List[float]:
    times = []
    for _ in range(steps):
        _wait(torch, subject.device)
        begun = time.perf_counter()
        subject.step(subject.inputs, subject.target)
        _wait(torch, subject.device)
        times.append(time.perf_counter() - begun)
    return times


def _shapes(torch: Any, subject: Any, count: int) -> Dict[str, Any]:
    """Each of `count` new input sizes: its first step, and a later one when nothing is new."""
    # Multiples of 32, so that every network can halve them five times.
    sizes = [subject.size + 32 * (place + 1) for place in range(count)]
    batches = [subject.batch(size) for size in sizes]
    passes = []
    for _ in range(3):
        times = []
        for inputs, target in batches:
            _wait(torch, subject.device)
            begun = time.perf_counter()
            subject.step(inputs, target)
            _wait(torch, subject.device)
            times.append(time.perf_counter() - begun)
        passes.append(times)
    return {
        "first_shape_seconds": passes[0],
        "known_shape_seconds": [min(a, b) for a, b in zip(passes[1], passes[2])],
    }


def _beside(torch: Any, values: Dict[str, Any], options: Dict[str, Any]) -> Any:
    """The first of two processes leaves its values in a file; the second compares and removes it."""
    from .bits import largest_differences

    path = options["values"]
    if options["leave_values"]:
        torch.save(values, path)
        return None
    return largest_differences(values, torch.load(path, map_location="cpu"))


def _wait(torch: Any, device: Any) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak(torch: Any, device: Any) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _write(options: Dict[str, Any], result: Dict[str, Any]) -> None:
    replace(options["result"], json.dumps(result))
