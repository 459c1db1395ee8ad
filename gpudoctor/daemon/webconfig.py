"""Reads the web configuration file that Prometheus' exporters take: TLS, users and headers.

Its form is that of github.com/prometheus/exporter-toolkit, docs/web-configuration.md. What it can
say and this server cannot do is refused by name, never left out in silence.
"""

from __future__ import annotations

import difflib
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpudoctor.errors import GpuDoctorError

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENTS = {
    "": ssl.CERT_NONE,
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_HEADERS = (
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
)
_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12]\d|3[01])\$[./A-Za-z0-9]{53}")
_TOP = ("tls_server_config", "http_server_config", "basic_auth_users")
_TLS = (
    "cert_file",
    "key_file",
    "client_auth_type",
    "client_ca_file",
    "min_version",
    "max_version",
    "prefer_server_cipher_suites",
)
# Known to exporters, but not to Python's TLS in the same meaning.
_NOT_HERE = (
    "cert",
    "key",
    "client_ca",
    "client_allowed_sans",
    "cipher_suites",
    "curve_preferences",
    "rate_limit",
)


@dataclass(frozen=True, slots=True)
class WebConfig:
    """What the file says. `users` has bcrypt hashes by name; `context` is None without TLS."""

    context: ssl.SSLContext | None = None
    users: Mapping[str, bytes] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def read_web_config(path: Path) -> WebConfig:
    """The web configuration in `path`; files that it names are relative to its folder.

    Raises:
        GpuDoctorError: it cannot be read, says something unknown, or names files that do not fit.
    """
    # Only who names such a file pays for reading YAML.
    import yaml

    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GpuDoctorError(
            f"the web configuration {path} cannot be read", cause=error.strerror
        ) from error
    except (ValueError, OverflowError, RecursionError, yaml.YAMLError) as error:
        raise GpuDoctorError(f"{path} is not valid YAML", cause=str(error)) from error
    told = _table(raw, path, "", _TOP)
    tls = _table(told.get("tls_server_config"), path, "tls_server_config.", _TLS)
    http = _table(told.get("http_server_config"), path, "http_server_config.", ("http2", "headers"))
    return WebConfig(
        _context(tls, path) if tls else None,
        _users(told.get("basic_auth_users"), path),
        _headers(http.get("headers"), path),
    )


def _table(raw: object, path: Path, prefix: str, known: tuple[str, ...]) -> dict[str, Any]:
    """A mapping whose names are all known; nothing is an empty one."""
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise GpuDoctorError(f"{path}: {prefix.rstrip('.') or 'the file'} is no table of names")
    for name in map(str, raw):
        if name in known:
            continue
        if name in _NOT_HERE:
            raise GpuDoctorError(
                f"{path}: gpudoctor cannot do {prefix}{name}",
                hint="Take it out, or let a proxy in front of gpudoctor do it.",
            )
        close = difflib.get_close_matches(name, known, n=1)
        meant = f"Did you mean {prefix}{close[0]}?" if close else f"Known: {', '.join(known)}."
        raise GpuDoctorError(f"{path} has an unknown setting: {prefix}{name}", hint=meant)
    return raw


def _context(tls: dict[str, Any], path: Path) -> ssl.SSLContext:
    certificate, key = _file(tls, "cert_file", path), _file(tls, "key_file", path)
    if certificate is None or key is None:
        raise GpuDoctorError(f"{path}: tls_server_config needs both cert_file and key_file")
    authority = _file(tls, "client_ca_file", path)
    kind = str(tls.get("client_auth_type") or "")
    if kind not in _CLIENTS:
        raise GpuDoctorError(
            f"{path}: gpudoctor cannot do client_auth_type {kind}",
            hint=f"It verifies what it asks for: {', '.join(name for name in _CLIENTS if name)}.",
        )
    if (authority is None) is (_CLIENTS[kind] is not ssl.CERT_NONE):
        raise GpuDoctorError(
            f"{path}: client_ca_file and client_auth_type belong together",
            hint="Give both, as in client_auth_type: RequireAndVerifyClientCert.",
        )
    context = secure_context(certificate, key, authority)
    if authority is not None:
        context.verify_mode = _CLIENTS[kind]
    context.minimum_version = _version(tls, "min_version", "TLS12", path)
    if "max_version" in tls:
        context.maximum_version = _version(tls, "max_version", "TLS13", path)
    return context


def secure_context(
    certificate: Path, key: Path | None, client_ca: Path | None = None
) -> ssl.SSLContext:
    """TLS 1.2 or newer with these PEM files; with `client_ca`, clients must show a certificate.

    Raises:
        GpuDoctorError: a file is missing or does not fit the others.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password="")
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as error:
        named = [str(one) for one in (certificate, key, client_ca) if one]
        raise GpuDoctorError(
            "TLS cannot be set up",
            cause=getattr(error, "strerror", None) or str(error),
            hint=f"Look at {', '.join(named)}: PEM files, the key without a password.",
        ) from error
    return context


def _file(tls: dict[str, Any], name: str, path: Path) -> Path | None:
    value = tls.get(name)
    return path.parent / str(value) if value else None


def _version(tls: dict[str, Any], name: str, otherwise: str, path: Path) -> ssl.TLSVersion:
    told = str(tls.get(name) or otherwise)
    if told not in _VERSIONS:
        raise GpuDoctorError(f"{path}: {name} is {told}", hint="Give TLS12 or TLS13.")
    return _VERSIONS[told]


def _users(raw: object, path: Path) -> dict[str, bytes]:
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise GpuDoctorError(f"{path}: basic_auth_users is no table of names and hashes")
    users = {str(name): str(value) for name, value in raw.items()}
    for name, value in users.items():
        if not _BCRYPT.fullmatch(value):
            raise GpuDoctorError(
                f"{path}: the password of {name} is no bcrypt hash",
                hint=f"Make one: htpasswd -nBC 10 {name} (what follows the colon).",
            )
    return {name: value.encode() for name, value in users.items()}


def _headers(raw: object, path: Path) -> dict[str, str]:
    told = _table(raw, path, "http_server_config.headers.", _HEADERS)
    headers = {name: str(value) for name, value in told.items()}
    for name, value in headers.items():
        if not value.isprintable():
            raise GpuDoctorError(f"{path}: the header {name} has characters that none may have")
    return headers
