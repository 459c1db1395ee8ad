from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpudoctor.host.interpreter import Target


@pytest.fixture(scope="session")
def fake_libcuda(tmp_path_factory):
    """A folder with a libcuda.so.1 that answers from variables."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("libcuda")
    source = Path(__file__).with_name("fake_libcuda.c")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(folder / "libcuda.so.1"), str(source)], check=True
    )
    return folder


@pytest.fixture
def with_torch(tmp_path):
    """A target whose `import torch` runs the given source instead of the real thing."""

    def make(source: str, **environ: str) -> Target:
        package = tmp_path / "site" / "torch"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(source)
        paths = {"PYTHONPATH": str(package.parent), "PATH": os.environ["PATH"]}
        return Target(sys.executable, "a test", {**paths, **environ})

    return make
