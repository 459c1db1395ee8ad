"""The driver's answers in words."""

from __future__ import annotations

import pytest

from gpudoctor.model.parking import ParkOutcome
from gpudoctor.reclaim.checkpoint import Answer, Call
from gpudoctor.reclaim.park_words import explained


def answer(*calls: Call, **changes) -> Answer:
    known = {
        "state": "running",
        "refused": None,
        "calling": None,
        "timed_out": False,
        "died": None,
        "seconds": 2.0,
    }
    return Answer(calls=calls, **(known | changes))


def test_what_went_well_needs_no_words():
    assert explained(answer(Call("Lock", 0)), ParkOutcome.PARKED, 7) == (None, None)


@pytest.mark.parametrize("code", [1, 2, 304, 401, 600, 800, 801])
def test_each_known_code_is_explained_and_named(code):
    detail, _ = explained(answer(Call("Lock", code, "CUDA_ERROR_X")), ParkOutcome.RUNNING, 7)
    assert detail.endswith(f"cuCheckpointProcessLock answered CUDA_ERROR_X ({code})")
    assert ": " in detail


def test_an_unknown_code_is_told_as_it_is():
    detail, hint = explained(answer(Call("Lock", 999, "CUDA error 999")), ParkOutcome.RUNNING, 7)
    assert detail == "cuCheckpointProcessLock answered CUDA error 999 (999)"
    assert hint is None


def test_the_first_failure_is_the_reason_and_a_failing_cu_init_is_none():
    calls = (Call("cuInit", 100), Call("Restore", 2, "OOM"), Call("Unlock", 401, "ILLEGAL"))
    detail, _ = explained(answer(*calls), ParkOutcome.PARKED, 7)
    assert "cuCheckpointProcessRestore" in detail
    assert explained(answer(calls[0]), ParkOutcome.RUNNING, 7) == (None, None)


def test_a_time_out_and_a_death_name_the_call():
    late = answer(calling="Checkpoint", timed_out=True, seconds=180.0)
    assert (
        "cuCheckpointProcessCheckpoint within 180 s" in explained(late, ParkOutcome.RUNNING, 7)[0]
    )
    dead = answer(calling="Lock", died="killed by signal 11")
    assert "killed by signal 11" in explained(dead, ParkOutcome.RUNNING, 7)[0]


@pytest.mark.parametrize("refused", ["gone", "reused", "thread", "no function"])
def test_a_refusal_of_the_child_is_told_in_words(refused):
    detail, _ = explained(answer(refused=refused), ParkOutcome.RUNNING, 7)
    assert detail != refused


def test_a_library_that_cannot_be_loaded_is_told_with_the_loaders_words():
    missing = answer(Call("dlopen", None, "libcuda.so.1: no such file"), refused="no library")
    assert "no such file" in explained(missing, ParkOutcome.RUNNING, 7)[0]


@pytest.mark.parametrize("outcome", [ParkOutcome.LOCKED, ParkOutcome.UNKNOWN])
def test_a_bad_end_says_what_can_be_done(outcome):
    _, hint = explained(answer(), outcome, 4711)
    assert "gpudoctor unpark 4711" in hint


def test_where_nothing_was_called_asking_again_is_not_advised():
    told = answer(Call("dlopen", None, "no such file"), refused="no library")
    detail, hint = explained(told, ParkOutcome.UNKNOWN, 7)
    assert "nothing was done" in (detail or "")
    assert hint == "In a container, NVIDIA_DRIVER_CAPABILITIES must name compute."
