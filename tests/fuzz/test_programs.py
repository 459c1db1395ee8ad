"""What programs print: nvcc and its kind, a bench's child, and the interpreter that is asked about itself."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudoctor.bench import children
from gpudoctor.checks.facts.kernel_log import xids_of
from gpudoctor.checks.facts.machine import cpu_list
from gpudoctor.checks.versions import least_driver, minor, version
from gpudoctor.host.installed import installed_torch
from gpudoctor.host.interpreter import Target
from gpudoctor.host.probe import MARK, Answers
from gpudoctor.host.probe import run as probe_run
from gpudoctor.host.requirements import applies, parse, pins, satisfies
from gpudoctor.host.tools import tool, toolkit
from gpudoctor.model.probe import Package, Probe, PythonFacts, TorchCuda
from tests.fuzz.settled import altered, fuzz, json_values, mangled

ANSWERS = [
    {"asking": "torch"},
    {"python": {"version": "3.11.7", "executable": "/usr/bin/python"}},
    {"torch": {"version": "2.7.0+cu128", "cuda": "12.8"}},
    {"cuda": {"available": True, "count": 1, "devices": [{"index": 0, "name": "H100"}]}},
    {"failure": ["cudnn", "OSError: no"]},
    {"requirements": {"torch": ["nvidia-cublas==13.1.0.3; platform_system == 'Linux'"]}},
    {"packages": [{"name": "nvidia-cublas", "version": "13.1"}]},
    {"mapped": ["/usr/lib/libcuda.so.1"]},
    {"done": True},
]
KINDS = (PythonFacts, TorchCuda, list[str], dict[str, str], tuple[Package, ...])


@fuzz(200)
@given(altered(ANSWERS) | st.lists(json_values, max_size=3), st.booleans())
def test_whatever_an_interpreter_says_of_itself_is_taken_or_left_out(lines, noisy):
    text = "\n".join(("noise " if noisy else "") + MARK + json.dumps(line) for line in lines)
    answers = Answers(text + "\n" + MARK + text)
    for key in ("python", "torch", "cuda", "packages", "mapped", "requirements"):
        for kind in KINDS:
            answers.get(key, kind)
    assert all(isinstance(word, str) for word in (*answers.failures, *answers.failures.values()))
    assert answers.asking is None or isinstance(answers.asking, str)


def test_half_a_character_in_an_answer_is_no_answer():
    # Python's own reader lets it through, and no JSON could be written of it.
    answers = Answers(
        MARK + r'{"asking": "torch"}' + "\n" + MARK + r'{"python": {"version": "\ud800"}}'
    )
    assert (answers.asking, answers.values) == ("torch", {})


def program(folder: Path, name: str, printed: bytes) -> Path:
    """A program that prints what lies beside it."""
    (folder / "printed").write_bytes(printed)
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat '{folder}/printed'\n")
    path.chmod(0o755)
    return path


HOSTILE = (
    b"",
    b"\xff\xfe\x00\n",
    b"[" * 100_000,
    b'["3.11", [1, null, "a\\u0000b"]]',
    b'["3.11"]',
    b"[1, 2]",
    MARK.encode() + b"[" * 100_000,
    MARK.encode()
    + b"[1]\n"
    + MARK.encode()
    + b'{"failure": 7, "done": 1, "torch": [], "asking": {}}',
    MARK.encode() + b'{"done": true, "torch": {"version": "\\u001b[31m"}, "mapped": ["\\u0000"]}',
)


@pytest.mark.parametrize("printed", HOSTILE, ids=range(len(HOSTILE)))
def test_an_interpreter_that_prints_anything_is_described(tmp_path, printed):
    path = program(tmp_path, "python", printed)
    target = Target(str(path), "named", dict(os.environ))
    assert isinstance(probe_run(target, 5.0), Probe)
    installed_torch(target)


def test_what_nvcc_and_others_print_is_searched_for_a_version(tmp_path):
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CUDA_HOME": str(tmp_path)}
    for printed in (b"\xff(" * 20_000, b"release 1" * 10_000, b"1" * 100_000, b"V12.8.93"):
        program(tmp_path, "nvcc", printed)
        (tmp_path / "version.json").write_bytes(printed)
        found = toolkit(environ)
        assert found.nvcc.path == str(tmp_path / "nvcc")
        tool("nvcc", environ)


PARTS = "== < ~= >= , ; 1 12.8 * . +cu1 [ ] extra ' ( and in platform_system nvidia-cublas torch"
WORDS = st.sampled_from([*PARTS.split(), " ", "9" * 5000])
LINES = st.lists(WORDS, max_size=9).map("".join) | st.text(max_size=30)


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@fuzz(300)
@given(LINES, LINES)
def test_requirements_and_versions_of_any_text_are_read_or_passed_over(one, other):
    wanted = parse(one)
    applies(other, {"platform_system": "Linux"}, ("x",))
    satisfies(one, other)
    satisfies("12.8.1", one)
    version(one)
    minor(one)
    least_driver(one)
    pins({"torch": [one, other]}, {}, (Package("nvidia-cublas", other),))
    assert wanted is None or isinstance(wanted.name, str)


@pytest.mark.parametrize(
    "marker",
    ["(" * 5000, "not " * 20_000 + "a", "a" + " == 'x'" * 20_000, "\0"],
    ids=["nested", "nots", "chain", "nul"],
)
def test_a_marker_made_to_break_its_reader_holds_nowhere(marker):
    assert applies(marker, {"a": "x"}) is False


@fuzz(150)
@given(
    st.lists(
        mangled(b"2026-01-01T00:00:00 NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen"),
        max_size=3,
    )
)
def test_lines_of_any_bytes_are_searched_for_xids(lines):
    for found in xids_of([line.decode("utf-8", "replace") for line in lines]):
        assert found.code >= 0


@fuzz(100)
@given(st.lists(st.sampled_from(["0", "3", "-", ",", "9" * 30, "x", " "]), max_size=6).map("".join))
def test_lists_of_cpus_are_read_or_passed_over(text):
    found = cpu_list(text)
    well_formed = re.fullmatch(r"(\d{1,5}(-\d{1,5})?,)*\d{1,5}(-\d{1,5})?", text)
    assert (found is not None) is bool(well_formed)
    if "-" not in text and found is not None:
        assert found == {int(part) for part in text.split(",")}


def test_a_list_of_cpus_that_claims_no_end_is_passed_over_quickly():
    assert cpu_list("0-99999999999") is None


@pytest.mark.parametrize("result", [b"[" * 100_000, b"7", b"\xff", b"{", b"null"])
def test_a_result_of_a_bench_that_is_none_is_no_result(tmp_path, result):
    (tmp_path / "result.json").write_bytes(result)
    assert children._read(tmp_path / "result.json") is None
