"""A script without torch under every Python for which there is a torch since 2.0."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gpudoctor.profile.summary import load_profile
from tests.runner.harness import watched

VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
SCRIPT = """
import time

def busy(until):
    while time.monotonic() < until:
        sum(range(1000))

busy(time.monotonic() + 0.2)
"""


def interpreter(version):
    found = Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    return next(map(str, sorted(found)), shutil.which(f"python{version}"))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_script_without_torch_has_a_profile_of_its_python_and_it_says_so(version, tmp_path):
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    (tmp_path / "main.py").write_text(SCRIPT)
    done = watched(python, tmp_path, "script", "main.py", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    profile = load_profile(tmp_path)
    assert profile.run.python_version.startswith(version + ".")
    assert "The script did not import torch: this is a profile of its Python code only." in (
        profile.notes
    )
    assert "busy" in {function.name for function in profile.functions}
