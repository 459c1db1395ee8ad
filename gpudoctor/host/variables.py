"""The variables that decide what CUDA, torch and their libraries do."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PREFIXES = (
    "CUBLAS_",
    "CUDA",
    "CUDNN_",
    "GLOO_",
    "GOMP_",
    "HIP_",
    "HSA_",
    "KMP_",
    "MKL_",
    "NCCL_",
    "NVIDIA_",
    "NVTE_",
    "OMP_",
    "OPENBLAS_",
    "PYTORCH_",
    "ROCR_",
    "TF32_",
    "TORCH",
    "TRITON_",
    "UCX_",
    "VLLM_",
)
_NAMES = {
    "CONDA_PREFIX",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "MALLOC_CONF",
    "MASTER_ADDR",
    "MASTER_PORT",
    "MAX_JOBS",
    "PYTHONHOME",
    "PYTHONNOUSERSITE",
    "PYTHONPATH",
    "RANK",
    "VIRTUAL_ENV",
    "WORLD_SIZE",
}
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)
HIDDEN = "(set, not shown)"


def relevant(environ: Mapping[str, str]) -> dict[str, str]:
    """Those of `environ` that matter here, by name; what looks like a secret is named but not shown."""
    return {
        name: HIDDEN if _SECRET.search(name) else value
        for name, value in sorted(environ.items())
        if name in _NAMES or name.startswith(_PREFIXES)
    }
