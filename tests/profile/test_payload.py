"""What a job that profiled itself answers is not believed beyond its shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.answers import MOST_CHARACTERS
from gpudoctor.profile.payload import source, understood

HOSTILE = {
    "nothing": "",
    "no literal": "__import__('os').system('true')",
    "cut off": "{'torch': '2.1",
    "a list": "['torch']",
    "another type": "{'torch': 7}",
    "an error that is none": "{'error': ['x']}",
    "deep": "(" * 5000 + ")" * 5000,
    "long": repr({"torch": "x" * MOST_CHARACTERS}),
    "a huge number": "{'torch': " + "9" * 9999 + "}",
    "NUL": "{'torch': '\0'",
    "empty": "{}",
}


def test_a_trace_that_was_taken_is_quietly_taken():
    assert understood(7, "{'torch': '2.13.0'}") is None
    with pytest.raises(GpuDoctorError):
        understood(7, "{'torch': '2.13.0', 'error': 'no'}")


def test_a_job_that_gives_nobody_its_interpreter_is_told():
    with pytest.raises(GpuDoctorError, match="did not get to"):
        understood(7, None)


def test_what_the_job_could_not_do_is_told_short_and_without_control_characters():
    with pytest.raises(GpuDoctorError, match="could not profile itself") as caught:
        understood(7, repr({"error": "\x1b[31mno" + "o" * 9000}))
    assert caught.value.cause is not None
    assert "\x1b" not in caught.value.cause and len(caught.value.cause) < 400


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_answer_is_an_error_and_no_crash(answer):
    with pytest.raises(GpuDoctorError, match="process 7 did not say"):
        understood(7, answer)


def test_the_payload_answers_with_what_is_understood_where_torch_is_missing():
    names: dict[str, object] = {}
    exec(source(Path("/nowhere"), 0.1), names)
    run = names["run"]
    assert callable(run)
    import sys

    before = sys.modules.pop("torch.profiler", None)
    try:
        with pytest.raises(GpuDoctorError) as caught:
            understood(7, run())
    finally:
        if before is not None:
            sys.modules["torch.profiler"] = before
    assert caught.value.cause == "it has not loaded torch"
