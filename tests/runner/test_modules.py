"""What the hooks on modules see, and that a script never notices them. One run of hooks.py serves all."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.runner.harness import plain

pytestmark = pytest.mark.integration
SCRIPT = Path(__file__).parent / "hooks.py"


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    folder = tmp_path_factory.mktemp("hooks")
    ran = plain(sys.executable, str(SCRIPT), str(folder), env=environ)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return json.loads(ran.stdout)


def calls(rows):
    return {name: row["calls"] for name, row in rows.items() if row["calls"]}


def test_results_and_gradients_are_what_they_were(found):
    assert found["results"]["same"] == [True]


def test_modules_are_known_by_their_names_below_the_outermost_one(found):
    rows = found["results"]["rows"]
    assert calls(rows) == dict.fromkeys(
        ("Net:", "Net:stem", "Net:layers.0", "Net:layers.1", "Net:tied"), 1
    )
    assert rows["Net:layers.0"]["kind"] == "Linear"
    assert found["results"]["calls"] == 5


def test_own_time_is_without_the_modules_that_are_called(found):
    rows = found["results"]["rows"]
    below = sum(row["total_ns"] for name, row in rows.items() if name != "Net:")
    whole = rows["Net:"]
    assert whole["self_ns"] + below == whole["total_ns"]
    assert rows["Net:stem"]["self_ns"] == rows["Net:stem"]["total_ns"] > 0


def test_a_shared_parameter_is_counted_once(found):
    rows = found["results"]["rows"]
    assert (rows["Net:stem"]["parameters"], rows["Net:stem"]["parameter_bytes"]) == (72, 288)
    assert rows["Net:tied"]["parameters"] == 8


def test_outputs_are_counted_in_dicts_and_lists(found):
    rows = found["results"]["rows"]
    assert rows["Net:stem"]["output_bytes"] == 4 * 8 * 4
    assert rows["Net:"]["output_bytes"] == 3 * 4 * 8 * 4


def test_an_exception_in_a_forward_passes_through_and_its_call_counts(found):
    assert found["error"] == "torch.Size([2, 8])"
    assert calls(found["failing"]) == {"Fails:": 2, "Fails:inner": 2}
    assert found["failing"]["Fails:"]["output_bytes"] == 0


def test_a_module_that_calls_itself_is_not_timed_twice(found):
    row = found["recursive"]["Again:"]
    assert row["calls"] == 4
    assert row["self_ns"] == row["total_ns"]


def test_threads_that_run_one_module_at_once_do_not_mix(found):
    rows = found["threads"]
    assert calls(rows) == {"Sequential:": 3, "Sequential:0": 3}
    assert (
        rows["Sequential:"]["self_ns"] + rows["Sequential:0"]["total_ns"]
        == rows["Sequential:"]["total_ns"]
    )


def test_neither_modules_nor_tensors_are_kept(found):
    assert found["references"] == [True, True]


def test_scripted_lazy_and_odd_modules_run_as_ever(found):
    rows = found["unusual"]["rows"]
    assert calls(rows)["RecursiveScriptModule:"] == 1
    assert (rows["LazyLinear:"]["kind"], rows["LazyLinear:"]["parameters"]) == ("Linear", 27)
    assert found["unusual"]["facts"]["modules_why"] == "RuntimeError: never ask me"


def test_a_trace_gets_no_operator_from_the_hooks(found):
    assert found["unusual"]["traced"] == [["aten::linear", "prim::GetAttr"]]


def test_a_call_that_was_interrupted_is_nobodys_caller(found):
    assert calls(found["interrupted"]) == {"Slow:": 1, "Linear:": 1}


def test_a_window_that_a_modules_hook_ends_has_the_call_that_ended_it(found):
    assert calls(found["inside"]) == {"Sequential:": 3, "Sequential:0": 3}


def test_modules_made_anew_each_time_share_a_row(found):
    assert calls(found["dynamic"]) == {"Sequential:": 3, "Sequential:0": 3}


def test_no_hook_is_left(found):
    assert found["left"] == [0, 0]


def test_nothing_is_hooked_where_the_script_compiles(found):
    assert found["compiled"] == {"modules": None, "modules_why": "the script uses torch.compile"}
