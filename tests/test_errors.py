from __future__ import annotations

from gpudoctor.errors import GpuDoctorError


def test_the_block_has_error_cause_and_hint_in_this_order():
    error = GpuDoctorError("no driver", cause="libnvidia-ml.so.1\nis absent", hint="install it")
    assert error.block() == (
        "error: no driver\ncause: libnvidia-ml.so.1\n       is absent\n\nhint: install it"
    )


def test_what_is_not_known_is_left_out_of_the_block():
    assert GpuDoctorError("no driver").block() == "error: no driver"
