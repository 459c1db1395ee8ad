"""The files that `gpudoctor profile --out DIR` leaves beside the session."""

from __future__ import annotations

from pathlib import Path

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.codec import envelope, to_builtins
from gpudoctor.model.profile import Profile


def write_reports(profile: Profile, folder: Path) -> None:
    """Write profile.json into `folder`.

    Raises:
        GpuDoctorError: the folder cannot be written.
    """
    try:
        (folder / "profile.json").write_bytes(envelope("gpudoctor.profile/1", to_builtins(profile)))
    except OSError as error:
        raise GpuDoctorError(f"{folder} cannot be written", cause=error.strerror) from error
