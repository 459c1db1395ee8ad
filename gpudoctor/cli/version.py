"""`gpudoctor --version --verbose`: what a bug report needs."""

from __future__ import annotations

import os
from pathlib import Path

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.about import About, DriverLibrary

SCHEMA = "gpudoctor.version/1"


def version_text(*, as_json: bool, config: str | None = None) -> str:
    """The report, as text or as one JSON object, without a last line break."""
    report = gather(config)
    if as_json:
        from gpudoctor.model.codec import envelope, to_builtins

        return envelope(SCHEMA, to_builtins(report)).decode()
    from gpudoctor.present.about import lines

    return "\n".join(lines(report))


def gather(config: str | None = None) -> About:
    """What there is to say. A driver that is not there, or wrong settings, are facts, not errors."""
    from gpudoctor.config import default_path, load
    from gpudoctor.daemon.place import places as sockets
    from gpudoctor.history import database
    from gpudoctor.host.about import about
    from gpudoctor.host.parked import state_folder

    named = Path(config) if config else None
    listen, wrong = None, None
    try:
        listen = ", ".join(load(named).serve.addresses)
    except GpuDoctorError as error:
        wrong = error.message
    places = (
        ("Settings", named or default_path()),
        ("History", database.default_path()),
        ("State", state_folder()),
        *(("Socket", path) for path in sockets()),
    )
    return about(os.environ, _driver(), places, listen=listen, settings_error=wrong)


def _driver() -> DriverLibrary:
    from gpudoctor.cli.sources import OPEN_TIMEOUT_S, within
    from gpudoctor.host.about import loaded_library

    try:
        asked = within(OPEN_TIMEOUT_S, _ask)
    except GpuDoctorError as error:
        return DriverLibrary(loaded_library(), error=error.message, cause=error.cause)
    if isinstance(asked, DriverLibrary):
        return asked
    late = f"no answer within {OPEN_TIMEOUT_S:.0f} s"
    return DriverLibrary(loaded_library(), error="the NVIDIA driver does not answer", cause=late)


def _ask() -> DriverLibrary:
    from gpudoctor.host.about import loaded_library
    from gpudoctor.nvml.api import NvmlCallError
    from gpudoctor.nvml.binding import open_nvml

    nvml = open_nvml()
    facts = nvml.driver()
    try:
        count = nvml.device_count()
    except NvmlCallError:
        count = None
    return DriverLibrary(
        loaded_library(), facts.version, facts.nvml_version, facts.cuda_version, count
    )
