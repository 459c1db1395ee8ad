"""torch's settings, as it says itself in its old and new ways; no torch is imported for it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gpudoctor.runner.torch_facts import torch_facts


class NewSettings:
    """From torch 2.9 on, the old switch may refuse to be read."""

    def __init__(self, precision):
        self.fp32_precision = precision

    @property
    def allow_tf32(self):
        raise RuntimeError("mix of the legacy and new APIs")


class OldSettings:
    """Before torch 2.1 a name that it does not know is an assertion that fails."""

    def __init__(self, allowed):
        self.allow_tf32 = allowed

    @property
    def fp32_precision(self):
        raise AssertionError("Unknown attribute fp32_precision")


def a_torch(matmul, cudnn):
    properties = SimpleNamespace(name="A100", major=8, minor=0, total_memory=100)
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 1,
        memory_stats=lambda index: {"allocation.all.allocated": 1},
        get_device_properties=lambda index: properties,
    )
    backends = SimpleNamespace(cuda=SimpleNamespace(matmul=matmul), cudnn=cudnn)
    return SimpleNamespace(
        __version__="2.13.0",
        version=SimpleNamespace(cuda="13.0"),
        get_num_threads=lambda: 4,
        cuda=cuda,
        backends=backends,
    )


def cudnn(**settings):
    return SimpleNamespace(version=lambda: 91900, benchmark=True, **settings)


@pytest.mark.parametrize(
    ("matmul", "conv", "said"),
    [
        (NewSettings("tf32"), {"conv": NewSettings("ieee")}, (True, False)),
        (NewSettings("none"), {"conv": NewSettings("tf32")}, (False, True)),
        (SimpleNamespace(allow_tf32=False), {"allow_tf32": True}, (False, True)),
        (SimpleNamespace(allow_tf32=True), {"allow_tf32": False}, (True, False)),
        (OldSettings(True), {"allow_tf32": True}, (True, True)),
    ],
)
def test_old_and_new_switches_of_tf32_are_read(matmul, conv, said):
    facts = torch_facts(a_torch(matmul, cudnn(**conv)), 1.0, None)
    assert facts["error"] is None
    assert (facts["matmul_tf32"], facts["conv_tf32"]) == said
    assert facts["cudnn_benchmark"] is True
    assert facts["devices"][0]["capability"] == [8, 0]


def test_a_setting_that_cannot_be_read_leaves_the_rest():
    facts = torch_facts(a_torch(SimpleNamespace(), cudnn(allow_tf32=True)), 1.0, None)
    assert facts["error"].startswith("AttributeError")
    assert facts["cudnn_version"] == 91900
    assert facts["threads"] == 4
