"""Which copies are taken for repeated, and that a script never notices the watch. One run of copying.py
serves all."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.runner.harness import plain

pytestmark = pytest.mark.integration
SCRIPT = Path(__file__).parent / "copying.py"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = plain(sys.executable, str(SCRIPT), env=environ)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return json.loads(ran.stdout)


def test_a_tensor_that_stays_as_it_is_is_copied_again_in_every_step(found):
    assert found["kept"] == [
        {
            "site": None,
            "source": "cpu",
            "target": "meta",
            "steps": 4,
            "tensors": 1,
            "bytes": 4 * 4000,
            "seconds": True,
        }
    ]
    assert 'found["kept"] = watch' in SCRIPT.read_text().splitlines()[found["line"] - 1]


def test_a_new_view_of_the_same_bytes_is_no_new_content(found):
    assert [(row["steps"], row["bytes"]) for row in found["view"]] == [(4, 4 * 40)]


def test_copying_into_a_tensor_that_is_there_is_a_copy(found):
    assert [(row["source"], row["target"]) for row in found["into"]] == [("cpu", "meta")]


def test_two_copies_in_one_line_are_added_up(found):
    assert [(row["tensors"], row["bytes"]) for row in found["twice"]] == [(2, 4 * 6000)]


@pytest.mark.parametrize(
    "name",
    [
        *("fresh", "refilled", "numpy", "shared", "casts", "seldom", "unversioned"),
        *("subclass", "vmap", "traced_rows"),
    ],
)
def test_what_may_have_changed_or_goes_nowhere_is_no_repetition(found, name):
    assert found[name] == []


def test_results_and_errors_are_what_they_were(found):
    assert found["results"] == [True] * 4
    assert found["error"] == "NotImplementedError"
    assert len(found["failing"]) == 1


def test_a_torch_function_is_given_torchs_own_method(found):
    assert found["subclass_saw"] == [True] * 4


def test_a_mode_sees_the_scripts_calls_and_none_of_ours(found):
    assert found["mode_saw"] == ["to"] * 4
    assert len(found["mode"]) == 1


def test_nothing_of_the_watch_is_in_a_traced_graph(found):
    assert found["traced"] == ["aten::to", "prim::Constant"]


def test_no_tensor_is_kept_alive(found):
    assert found["dropped"] == [True] * 4


def test_a_method_of_somebody_else_stays_where_it_is(found):
    assert (found["over"], found["under"]) == (True, True)


def test_a_method_that_the_script_kept_works_on_after_the_window(found):
    assert found["taken"] is True
    assert found["taken_rows"] == []


def test_where_the_script_compiles_the_watch_has_ended_before(found):
    assert found["compiled"] is True
    assert [row["steps"] for row in found["compiling"]] == [3]
    assert found["callbacks"] == 0


def test_a_script_that_compiles_is_left_alone(found):
    assert found["after_compile"] == []
