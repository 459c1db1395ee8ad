"""Settings from one TOML file. Unknown names are an error, with the name that was probably meant."""

from __future__ import annotations

import difflib
import os
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import msgspec
import platformdirs

from gpudoctor.errors import GpuDoctorError, why
from gpudoctor.model.decoding import convert


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How often the machine is read. Seconds."""

    interval_seconds: float = 1.0
    deadline_seconds: float = 3.0


@dataclass(frozen=True, slots=True)
class TuiSettings:
    """The terminal UI. Without a theme it is the one that was used last; `remember` keeps the look.

    `temperature` is the unit that it shows: "celsius" or "fahrenheit".
    """

    theme: str = ""
    remember: bool = True
    temperature: str = "celsius"


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """The daemon. `listen` is host:port, or several of them."""

    listen: str | tuple[str, ...] = "127.0.0.1:9836"
    interval_seconds: float = 5.0

    @property
    def addresses(self) -> tuple[str, ...]:
        """All that `listen` names."""
        return (self.listen,) if isinstance(self.listen, str) else self.listen


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """Who is told what changes. `url` is posted to, `command` is run with the same on its input.

    `format` is "webhook" (what Alertmanager sends to its webhooks) or "alertmanager" (what it takes
    at /api/v2/alerts). Files are PEM; a token is sent as a bearer token.
    """

    url: str = ""
    format: str = "webhook"
    token_file: str = ""
    ca_file: str = ""
    command: tuple[str, ...] = ()
    least_severity: str = "warning"


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """Many machines. `prometheus` is the address of the server that knows them."""

    prometheus: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, with the defaults that hold where the file says nothing."""

    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    tui: TuiSettings = field(default_factory=TuiSettings)
    serve: ServeSettings = field(default_factory=ServeSettings)
    notify: NotifySettings = field(default_factory=NotifySettings)
    fleet: FleetSettings = field(default_factory=FleetSettings)


_GROUPS: dict[str, type[Any]] = {
    "sampling": SamplingSettings,
    "tui": TuiSettings,
    "serve": ServeSettings,
    "notify": NotifySettings,
    "fleet": FleetSettings,
}


def default_path() -> Path:
    """Where the settings lie: $GPUDOCTOR_CONFIG, else config.toml in the user's config folder."""
    named = os.environ.get("GPUDOCTOR_CONFIG")
    return Path(named) if named else platformdirs.user_config_path("gpudoctor") / "config.toml"


def load(path: Path | None = None) -> Settings:
    """The settings of `path` (the default file where None). A missing default file means defaults.

    Raises:
        GpuDoctorError: the named file is missing, is not TOML, or says something unknown.
    """
    chosen = path or default_path()
    try:
        text = chosen.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if path is None and "GPUDOCTOR_CONFIG" not in os.environ:
            return Settings()
        raise GpuDoctorError(
            f"the settings file {chosen} does not exist",
            hint="Create it, or leave out --config and GPUDOCTOR_CONFIG to use the defaults.",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise GpuDoctorError(
            f"the settings file {chosen} cannot be read", cause=why(error)
        ) from error
    return parse(text, where=str(chosen))


def parse(text: str, *, where: str) -> Settings:
    """The settings in `text`, TOML; `where` names it in errors."""
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also numbers without end, and nesting
        raise GpuDoctorError(f"{where} is not valid TOML", cause=str(error)) from error
    _reject_unknown(raw, Settings, where, "")
    try:
        settings = convert(raw, Settings)
    except msgspec.ValidationError as error:
        raise GpuDoctorError(f"{where} has a value of the wrong kind", cause=str(error)) from error
    _reject_useless(settings, where)
    return settings


def _reject_unknown(raw: dict[str, Any], kind: type[Any], where: str, prefix: str) -> None:
    known = [item.name for item in fields(kind)]
    for name, value in raw.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            raise GpuDoctorError(
                f"{where} has an unknown setting: {prefix}{name}",
                hint=f"Did you mean {prefix}{close[0]}?"
                if close
                else f"Known here: {', '.join(known)}.",
            )
        if not prefix and isinstance(value, dict):
            _reject_unknown(value, _GROUPS[name], where, f"{name}.")


def _reject_useless(settings: Settings, where: str) -> None:
    for name, seconds in (
        ("sampling.interval_seconds", settings.sampling.interval_seconds),
        ("sampling.deadline_seconds", settings.sampling.deadline_seconds),
        ("serve.interval_seconds", settings.serve.interval_seconds),
    ):
        if not 0.1 <= seconds <= 3600:
            raise GpuDoctorError(
                f"{where}: {name} is {seconds:g}", hint="Give a number of seconds from 0.1 to 3600."
            )
    notify = settings.notify
    if notify.url and not notify.url.startswith(("http://", "https://")):
        raise GpuDoctorError(
            f"{where}: notify.url is no URL", hint="Give one that begins with http:// or https://."
        )
    for name, value, known in (
        ("tui.temperature", settings.tui.temperature, ("celsius", "fahrenheit")),
        ("notify.format", notify.format, ("webhook", "alertmanager")),
        ("notify.least_severity", notify.least_severity, ("info", "warning", "error")),
    ):
        if value not in known:
            raise GpuDoctorError(
                f"{where}: {name} is {value!r}", hint=f"Give one of {', '.join(known)}."
            )
