"""The files that `gpudoctor profile --out DIR` leaves beside the session."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.codec import envelope, to_builtins
from gpudoctor.model.profile import Profile
from gpudoctor.profile.exports import collapsed, speedscope
from gpudoctor.profile.session import SamplesSeen, read_session
from gpudoctor.profile.timeline import read_timeline
from gpudoctor.render.profile_html import html


def write_reports(profile: Profile, folder: Path) -> None:
    """Write profile.json, report.html and the stacks (collapsed, speedscope) into `folder`.

    Raises:
        GpuDoctorError: the folder cannot be written.
    """
    samples = read_session(folder).samples
    try:
        _write(folder / "profile.json", envelope("gpudoctor.profile/1", to_builtins(profile)))
        _write(
            folder / "report.html",
            html(profile, samples, read_timeline(folder)).encode("utf-8", "replace"),
        )
        if samples is not None:
            _write_stacks(profile, folder, samples)
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
