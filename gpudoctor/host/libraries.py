"""Which CUDA libraries a process really loaded, from which wheel, and what may shadow them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gpudoctor.model.environment import LibraryPathEntry
from gpudoctor.model.probe import LoadedLibrary, Package

# The library's name, and how the names of the distributions that carry it begin.
_WHEELS: dict[str, tuple[str, ...]] = {
    "libcudart": ("nvidia-cuda-runtime",),
    "libcudnn": ("nvidia-cudnn",),
    "libnccl": ("nvidia-nccl",),
    "libcublas": ("nvidia-cublas",),
    "libcufft": ("nvidia-cufft",),
    "libcurand": ("nvidia-curand",),
    "libcusolver": ("nvidia-cusolver",),
    "libcusparselt": ("nvidia-cusparselt",),
    "libcusparse": ("nvidia-cusparse",),
    "libnvrtc": ("nvidia-cuda-nvrtc",),
    "libnvjitlink": ("nvidia-nvjitlink",),
    "libcupti": ("nvidia-cuda-cupti",),
    "libnvtoolsext": ("nvidia-nvtx",),
    "libnvtx": ("nvidia-nvtx",),
    "libnvshmem": ("nvidia-nvshmem",),
    "libcufile": ("nvidia-cufile",),
    "libtorch": ("torch",),
    "libc10": ("torch",),
    "libtriton": ("triton", "pytorch-triton"),
    "libcuda": (),
    "libnvidia": (),
    "libgomp": ("torch",),
    "libiomp5": ("torch", "intel-openmp"),
    "libmkl": ("mkl",),
    "libamdhip64": (),
    "libmiopen": (),
    "librccl": (),
}
# These are part of a compiler or of a distribution, so a second copy of them shadows nothing of CUDA.
_NOT_SHADOWING = ("libgomp", "libiomp5", "libmkl")
_FILE = re.compile(r"^(?P<name>lib.+?)(?:-[0-9a-f]{8,})?\.so(?:\.(?P<version>[0-9][0-9.]*))?$")


def known_name(file_name: str) -> str | None:
    """The entry of the table that a file belongs to: `libcublasLt.so.13` belongs to libcublas."""
    name = file_name.lower()
    found = [known for known in _WHEELS if name.startswith(known)]
    return max(found, key=len, default=None)


def loaded_libraries(
    paths: Iterable[str], packages: Sequence[Package]
) -> tuple[LoadedLibrary, ...]:
    """The CUDA, torch and OpenMP libraries among the mapped files."""
    rows = []
    for path in paths:
        folder, file_name = os.path.split(path.removesuffix(" (deleted)"))
        known, match = known_name(file_name), _FILE.match(file_name)
        if known is None or match is None:
            continue
        owner = _owner(known, folder, packages)
        rows.append(
            LoadedLibrary(
                match["name"],
                path,
                owner.version if owner else match["version"],
                owner.name if owner else None,
            )
        )
    return tuple(rows)


def _owner(known: str, folder: str, packages: Sequence[Package]) -> Package | None:
    """The distribution that put the library there: its wheel's name, in the same site-packages."""
    for package in packages:
        if package.name.startswith(_WHEELS[known] or ("\0",)) and package.location:
            inside = Path(package.location).resolve()
            if Path(folder).is_relative_to(inside) or Path(folder).is_relative_to(package.location):
                return package
    return None


def library_path(
    environ: Mapping[str, str], root: Path = Path("/")
) -> tuple[LibraryPathEntry, ...]:
    """The folders of LD_LIBRARY_PATH in order; an empty one is the working directory."""
    value = environ.get("LD_LIBRARY_PATH", "")
    return tuple(_entry(folder, root) for folder in re.split("[:;]", value)) if value else ()


def _entry(directory: str, root: Path) -> LibraryPathEntry:
    folder = root / directory.lstrip("/") if directory.startswith("/") else Path(directory or ".")
    try:
        names = sorted(item.name for item in folder.iterdir())
    except OSError:
        return LibraryPathEntry(directory, folder.is_dir())
    shadowing = [
        name
        for name in names
        if _FILE.match(name) and (known_name(name) or _NOT_SHADOWING[0]) not in _NOT_SHADOWING
    ]
    return LibraryPathEntry(directory, True, tuple(shadowing))
