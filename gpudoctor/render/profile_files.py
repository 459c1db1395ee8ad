"""The files that `gpudoctor profile --out DIR` leaves beside the session."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gpudoctor.errors import GpuDoctorError
from gpudoctor.fileio import replace_file
from gpudoctor.model.codec import envelope, to_builtins
from gpudoctor.model.profile import Profile
from gpudoctor.profile.exports import collapsed, speedscope
from gpudoctor.profile.session import SamplesSeen, read_session
from gpudoctor.profile.tensorboard import place_trace
from gpudoctor.profile.timeline import read_timeline
from gpudoctor.render.profile_html import html


def write_reports(profile: Profile, folder: Path, rank: int | None = None) -> None:
    """Write profile.json, report.html and the stacks (collapsed, speedscope) into `folder`, and the trace
    for TensorBoard; that of a rank goes to the folder above, to be seen with those of the others.

    Raises:
        GpuDoctorError: the folder cannot be written.
    """
    session = read_session(folder)
    samples = session.samples
    worker = Path(profile.run.program[0]).stem if profile.run.program else ""
    try:
        replace_file(folder / "profile.json", envelope("gpudoctor.profile/1", to_builtins(profile)))
        replace_file(
            folder / "report.html",
            html(profile, samples, read_timeline(folder)).encode("utf-8", "replace"),
        )
        if samples is not None:
            _write_stacks(profile, folder, samples)
        if rank is None:
            place_trace(folder, session, folder, f"{worker}_{session.pid}")
        else:
            place_trace(folder, session, folder.parent, f"rank_{rank}")
    except OSError as error:
        raise GpuDoctorError(f"{folder} cannot be written", cause=error.strerror) from error


def _write_stacks(profile: Profile, folder: Path, samples: SamplesSeen) -> None:
    replace_file(folder / "stacks.collapsed", collapsed(samples).encode("utf-8", "replace"))
    name = " ".join(profile.run.program)
    replace_file(folder / "stacks.speedscope.json", msgspec.json.encode(speedscope(samples, name)))
