"""Fused optimizers where torch has them, and the script's own where it has none; no torch is imported."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gpudoctor.runner.bench.change_optimizer import apply
from gpudoctor.runner.bench.findings import Findings


@pytest.fixture
def made():
    """A torch whose Adam is fused only for what it calls CUDA, and what was found of it."""

    class Optimizer:
        pass

    class Adam(Optimizer):
        def __init__(self, params, lr=0.1, *, foreach=None, fused=None):
            self.params, self.lr, self.foreach, self.fused = list(params), lr, foreach, fused
            if fused and "cpu" in self.params:
                raise RuntimeError("`fused=True` requires all the params to be CUDA")

    findings = Findings()
    apply(SimpleNamespace(optim=SimpleNamespace(Optimizer=Optimizer, Adam=Adam)), findings)
    return Adam, findings


def test_an_optimizer_is_made_fused(made):
    adam, findings = made
    one = adam(iter(["cuda", "cuda"]), 0.2, foreach=True)
    assert (one.fused, one.foreach, one.lr, one.params) == (True, None, 0.2, ["cuda", "cuda"])
    assert [change["what"] for change in findings.as_dict()["changed"]] == ["Adam(fused)"]


def test_a_torch_that_cannot_fuse_there_keeps_the_scripts_own_and_it_is_said(made):
    adam, findings = made
    one = adam(iter(["cpu", "cpu"]), 0.2, foreach=True)
    assert (one.fused, one.foreach, one.lr, one.params) == (None, True, 0.2, ["cpu", "cpu"])
    assert findings.as_dict()["changed"] == []
    assert findings.as_dict()["could_not"] == [
        "Adam: `fused=True` requires all the params to be CUDA"
    ]


def test_a_script_that_fuses_itself_fails_as_it_would(made):
    adam, _ = made
    with pytest.raises(RuntimeError, match="requires all the params"):
        adam(["cpu"], fused=True)
