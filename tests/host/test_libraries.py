from __future__ import annotations

import pytest

from gpudoctor.host.libraries import known_name, library_path, loaded_libraries
from gpudoctor.model.probe import Package

SITE = "/venv/lib/python3.11/site-packages"


@pytest.mark.parametrize(
    ("file", "known"),
    [
        ("libcudnn.so.9", "libcudnn"),
        ("libcudnn_engines_precompiled.so.9", "libcudnn"),
        ("libcublasLt.so.13", "libcublas"),
        ("libcusparseLt.so.0", "libcusparselt"),
        ("libcudart.so.13", "libcudart"),
        ("libcuda.so.580.95.05", "libcuda"),
        ("libnvJitLink.so.13", "libnvjitlink"),
        ("libm.so.6", None),
    ],
)
def test_a_library_is_known_by_its_longest_name(file, known):
    assert known_name(file) == known


def test_a_library_of_a_wheel_has_the_wheels_version_and_a_foreign_one_its_files():
    packages = (Package("nvidia-cudnn-cu13", "9.15.1.9", SITE), Package("torch", "2.10.0", SITE))
    rows = loaded_libraries(
        [
            f"{SITE}/nvidia/cudnn/lib/libcudnn.so.9",
            "/usr/lib/x86_64-linux-gnu/libcudnn_ops.so.9.1.0",
            f"{SITE}/torch/lib/libtorch_cuda.so",
            f"{SITE}/torch/lib/libgomp-98df74fd.so.1",
            "/usr/lib/libm.so.6",
            "/usr/lib/libcuda.so.580.95.05 (deleted)",
        ],
        packages,
    )
    assert [(row.name, row.version, row.package) for row in rows] == [
        ("libcudnn", "9.15.1.9", "nvidia-cudnn-cu13"),
        ("libcudnn_ops", "9.1.0", None),
        ("libtorch_cuda", "2.10.0", "torch"),
        ("libgomp", "2.10.0", "torch"),
        ("libcuda", "580.95.05", None),
    ]


def test_a_folder_of_ld_library_path_shows_what_can_shadow(tmp_path):
    folder = tmp_path / "opt" / "cudnn"
    folder.mkdir(parents=True)
    for name in ("libcudnn.so.9", "libcudnn.so", "libm.so.6", "libgomp.so.1", "cudnn.h"):
        (folder / name).touch()
    rows = library_path({"LD_LIBRARY_PATH": "/opt/cudnn:/nowhere"}, tmp_path)
    assert [(row.directory, row.exists, row.libraries) for row in rows] == [
        ("/opt/cudnn", True, ("libcudnn.so", "libcudnn.so.9")),
        ("/nowhere", False, ()),
    ]


def test_no_ld_library_path_has_no_folders(tmp_path):
    assert library_path({}, tmp_path) == ()
    assert library_path({"LD_LIBRARY_PATH": ""}, tmp_path) == ()
