"""The files that `gpudoctor profile --out DIR` leaves beside the session."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gpudoctor.errors import GpuDoctorError
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
        _write(folder / "profile.json", envelope("gpudoctor.profile/1", to_builtins(profile)))
        _write(
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
    _write(folder / "stacks.collapsed", collapsed(samples).encode("utf-8", "replace"))
    name = " ".join(profile.run.program)
    _write(folder / "stacks.speedscope.json", msgspec.json.encode(speedscope(samples, name)))


def _write(path: Path, data: bytes) -> None:
    # A folder that somebody handed over may hold a link of this name, to be written through.
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        file.write(data)
