from __future__ import annotations

import os
import sys

import pytest

from gpudoctor.host.interpreter import Target


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
