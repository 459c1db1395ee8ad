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
        (folder / "profile.json").write_bytes(envelope("gpudoctor.profile/1", to_builtins(profile)))
        (folder / "report.html").write_text(
            html(profile, samples, read_timeline(folder)), encoding="utf-8"
        )
        if samples is not None:
            _write_stacks(profile, folder, samples)
    except OSError as error:
        raise GpuDoctorError(f"{folder} cannot be written", cause=error.strerror) from error


def _write_stacks(profile: Profile, folder: Path, samples: SamplesSeen) -> None:
    (folder / "stacks.collapsed").write_text(collapsed(samples), encoding="utf-8")
    name = " ".join(profile.run.program)
    (folder / "stacks.speedscope.json").write_bytes(msgspec.json.encode(speedscope(samples, name)))
