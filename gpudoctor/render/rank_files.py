"""The files that `gpudoctor profile --out DIR` leaves for several ranks."""

from __future__ import annotations

from pathlib import Path

from gpudoctor.errors import GpuDoctorError
from gpudoctor.fileio import replace_file
from gpudoctor.model.codec import envelope, to_builtins
from gpudoctor.model.ranks import RanksProfile
from gpudoctor.render.profile_files import write_reports
from gpudoctor.render.ranks_html import html


def write_rank_reports(seen: RanksProfile, folder: Path) -> None:
    """Write profile.json and report.html into `folder`, and each rank's own reports into its folder.

    Raises:
        GpuDoctorError: the folder cannot be written.
    """
    for time, profile in zip(seen.ranks, seen.profiles, strict=True):
        write_reports(profile, folder / f"rank{time.rank}", time.rank)
    bodies = {
        "profile.json": envelope("gpudoctor.profile.ranks/1", to_builtins(seen)),
        "report.html": html(seen).encode("utf-8", "replace"),
    }
    try:
        for name, body in bodies.items():
            replace_file(folder / name, body)
    except OSError as error:
        raise GpuDoctorError(f"{folder} cannot be written", cause=error.strerror) from error
