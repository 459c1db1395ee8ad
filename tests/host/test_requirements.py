from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudoctor.host.requirements import applies, parse, pins, satisfies
from gpudoctor.model.probe import Package

LINUX = {
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "sys_platform": "linux",
    "python_version": "3.11",
}


@pytest.mark.parametrize(
    ("version", "specifier", "expected"),
    [
        ("9.10.2.21", "==9.10.2.21", True),
        ("9.10.2.21", "==9.10.2.22", False),
        ("13.0.2", "==13.0.*", True),
        ("13.1.0", "==13.0.*", False),
        ("13.0", "==13.0.0", True),
        ("3.6.0", "<4,>=3.5", True),
        ("3.10.0", ">=3.9", True),
        ("2.13.0+cpu", "==2.13.0", True),
        ("1.4.5", "~=1.4.2", True),
        ("1.5.0", "~=1.4.2", False),
        ("12.8", "!=12.8.0", False),
        ("3.0", "", True),
        ("1.0rc1", "<1.0", None),
        ("weird", ">=1", None),
        ("1.0", "matches 2", None),
        ("2.27.3", "===2.27.3", True),
    ],
)
def test_a_version_meets_a_specifier_or_it_cannot_be_told(version, specifier, expected):
    assert satisfies(version, specifier) is expected


@given(st.lists(st.integers(0, 999), min_size=1, max_size=5))
def test_a_version_equals_itself_and_is_neither_newer_nor_older(parts):
    text = ".".join(map(str, parts))
    assert satisfies(text, f"=={text},>={text},<={text}")
    assert satisfies(text, f"<{text}") is False
    assert satisfies(text, f">{text}") is False


@pytest.mark.parametrize(
    ("marker", "holds"),
    [
        (None, True),
        ('platform_system == "Linux"', True),
        ('platform_system == "Linux" and platform_machine == "aarch64"', False),
        ('sys_platform == "win32" or python_version >= "3.9"', True),
        ('python_version < "3.9"', False),
        ('extra == "cublas"', False),
        ('"linux" in sys_platform', True),
        ('sys_platform not in "linux darwin"', False),
        ("unknown_thing == 'x'", False),
        ("this is no marker", False),
    ],
)
def test_a_marker_holds_or_does_not(marker, holds):
    assert applies(marker, LINUX) is holds


def test_a_requirement_of_the_old_metadata_form_is_read():
    row = parse('nvidia-cublas-cu12 (==12.1.3.1) ; platform_system == "Linux"')
    assert row is not None
    assert (row.name, row.specifier, row.marker) == (
        "nvidia-cublas-cu12",
        "==12.1.3.1",
        'platform_system == "Linux"',
    )


def test_pins_go_through_the_meta_package_for_the_extras_that_torch_asks_for():
    requirements = {
        "torch": [
            "filelock",
            'cuda-toolkit[cublas,cudart]==13.0.2; platform_system == "Linux"',
            'nvidia-cudnn-cu13==9.15.1.9; platform_system == "Linux"',
            'nvidia-nccl-cu13==2.28.9; platform_system == "Windows"',
            'triton==3.6.0; platform_system == "Linux"',
        ],
        "cuda-toolkit": [
            'nvidia-cublas==13.1.0.3.*; (sys_platform == "linux") and extra == "cublas"',
            'nvidia-cuda-runtime==13.0.96.*; sys_platform == "linux" and extra == "cudart"',
            'nvidia-curand==10.4.0.35.*; sys_platform == "linux" and extra == "curand"',
        ],
    }
    packages = (
        Package("cuda-toolkit", "13.0.2"),
        Package("nvidia-cublas", "13.1.0.3"),
        Package("nvidia-cuda-runtime", "13.1.80"),
        Package("nvidia-cudnn-cu13", "9.15.1.9"),
    )
    rows = {row.name: row for row in pins(requirements, LINUX, packages)}
    assert set(rows) == {
        "cuda-toolkit",
        "nvidia-cublas",
        "nvidia-cuda-runtime",
        "nvidia-cudnn-cu13",
        "triton",
    }
    assert rows["nvidia-cublas"].required_by == "cuda-toolkit"
    assert rows["nvidia-cublas"].satisfied is True
    assert rows["nvidia-cuda-runtime"].satisfied is False
    assert rows["triton"].installed is None
    assert rows["triton"].satisfied is False


def test_a_wheel_that_several_extras_ask_for_in_the_same_words_is_one_pin():
    requirements = {
        "torch": ["cuda-toolkit[cublas,cusparse]==13.0.3"],
        "cuda-toolkit": [
            'nvidia-nvjitlink<14,>=13.0.88; extra == "cublas"',
            'nvidia-nvjitlink<14,>=13.0.88; extra == "cusparse"',
        ],
    }
    names = [row.name for row in pins(requirements, LINUX, ())]
    assert names == ["cuda-toolkit", "nvidia-nvjitlink"]


def test_a_cpu_torch_pins_nothing():
    assert pins({"torch": ["filelock", "jinja2"]}, LINUX, ()) == ()
