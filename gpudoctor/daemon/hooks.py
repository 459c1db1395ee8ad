"""Where changes can go: a URL, or a command; as Alertmanager's own messages."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpudoctor import __version__
from gpudoctor.config import NotifySettings
from gpudoctor.daemon.changes import Change
from gpudoctor.daemon.notify import NotTakenError, Target
from gpudoctor.errors import GpuDoctorError, why
from gpudoctor.model.finding import Severity

_TIMEOUT_S = 10.0
_COMMAND_S = 30.0
_REPEAT_S = 60.0
# An Alertmanager takes an alert for over when this has passed since it was told last.
_LASTS_S = 300.0
# An event is of a moment; it stays an alert so long that somebody can see it.
_SHOWN_S = 900.0
_NEVER = "0001-01-01T00:00:00Z"
# What other rules for Prometheus call it.
_SEVERITIES = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.ERROR: "critical"}


def targets(settings: NotifySettings, instance: str) -> list[Target]:
    """Where the settings send changes to; `instance` is this machine's name.

    Raises:
        GpuDoctorError: a file that they name cannot be used.
    """
    found: list[Target] = []
    if settings.url:
        found.append(Webhook(settings, instance))
    if settings.command:
        found.append(Command(settings.command, instance))
    return found


class Webhook:
    """Posts to a URL. Redirections are not followed: a token must not wander."""

    def __init__(self, settings: NotifySettings, instance: str) -> None:
        self.name = "webhook"
        self._settings = settings
        self._instance = instance
        self._plain = settings.format == "alertmanager"
        self.repeat_s: float | None = _REPEAT_S if self._plain else None
        _token(settings)
        context = _context(settings.ca_file)
        self._opener = urllib.request.build_opener(
            _NoRedirection, urllib.request.HTTPSHandler(context=context)
        )

    def deliver(self, changes: Sequence[Change]) -> None:
        """Post them as one JSON document."""
        told = [alert(change, self._instance, ends=self._plain) for change in changes]
        body = json.dumps(told if self._plain else message(told)).encode()
        head = {"Content-Type": "application/json", "User-Agent": f"gpudoctor/{__version__}"}
        try:
            token = _token(self._settings)
        except GpuDoctorError as error:
            raise NotTakenError(error.message, again=True) from error
        if token:
            head["Authorization"] = f"Bearer {token}"
        url = self._settings.url
        request = urllib.request.Request(url, data=body, headers=head, method="POST")  # noqa: S310
        try:
            with self._opener.open(request, timeout=_TIMEOUT_S):
                return
        except urllib.error.HTTPError as error:
            error.close()
            useful = error.code >= 500 or error.code == 429
            raise NotTakenError(f"{error.code} {error.reason}", again=useful) from error
        except (OSError, http.client.HTTPException) as error:
            raise NotTakenError(str(getattr(error, "reason", error)), again=True) from error


class Command:
    """Runs a command, without a shell, with the message on its standard input."""

    def __init__(self, words: Sequence[str], instance: str) -> None:
        self.name = "command"
        self.repeat_s: float | None = None
        self._words = tuple(words)
        self._instance = instance

    def deliver(self, changes: Sequence[Change]) -> None:
        """Run it once for all of them. A command that fails is not run again: it may have acted."""
        told = message([alert(change, self._instance, ends=False) for change in changes])
        try:
            done = subprocess.run(
                self._words,
                input=json.dumps(told).encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_COMMAND_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotTakenError(str(error), again=False) from error
        if done.returncode:
            last = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
            raise NotTakenError(f"exit code {done.returncode}: {last}", again=False)


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def alert(change: Change, instance: str, *, ends: bool) -> dict[str, Any]:
    """One alert as Alertmanager writes it; with `ends`, it says when it is over if nobody repeats it."""
    now = time.time()
    begun = change.at if change.begun is None else change.begun
    ended = now if change.ended else None
    if ended is None and ends:
        ended = change.at + _SHOWN_S if not change.lasts else now + _LASTS_S
    labels = {
        "alertname": f"GpuDoctor{change.kind}",
        "instance": instance,
        "severity": _SEVERITIES[change.severity],
        **dict(change.labels),
    }
    told = {
        "labels": labels,
        "annotations": {
            name: text
            for name, text in (("summary", change.summary), ("description", change.advice))
            if text
        },
        "startsAt": _stamp(begun),
        "endsAt": _NEVER if ended is None else _stamp(ended),
        "generatorURL": "",
    }
    return told if ends else {"status": "resolved" if change.ended else "firing", **told}


def message(alerts: list[dict[str, Any]]) -> dict[str, Any]:
    """What Alertmanager posts to a webhook, version 4."""
    firing = any(one["status"] == "firing" for one in alerts)
    return {
        "version": "4",
        "groupKey": '{}:{alertname="GpuDoctor"}',
        "truncatedAlerts": 0,
        "status": "firing" if firing else "resolved",
        "receiver": "gpudoctor",
        "groupLabels": {},
        "commonLabels": _common([one["labels"] for one in alerts]),
        "commonAnnotations": _common([one["annotations"] for one in alerts]),
        "externalURL": "",
        "alerts": alerts,
    }


def _common(tables: list[dict[str, str]]) -> dict[str, str]:
    return {
        name: value
        for name, value in tables[0].items()
        if all(other.get(name) == value for other in tables[1:])
    }


def _stamp(at: float) -> str:
    return dt.datetime.fromtimestamp(at, dt.UTC).isoformat(timespec="milliseconds")


def _token(settings: NotifySettings) -> str:
    """The token, read every time, so that a new one needs no restart."""
    if not settings.token_file:
        return ""
    try:
        return Path(settings.token_file).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise GpuDoctorError(
            f"the token {settings.token_file} of [notify] cannot be read", cause=why(error)
        ) from error


def _context(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise GpuDoctorError(
            f"{ca_file} of [notify] cannot be used", cause=error.strerror or str(error)
        ) from error
