"""Who may ask: a token, and TLS with or without certificates of the clients."""

from __future__ import annotations

import base64
import binascii
import hmac
import ssl
from http import HTTPStatus
from pathlib import Path

from gpudoctor.daemon.http import Answer, Request, Response
from gpudoctor.errors import GpuDoctorError

# What supervisors ask for tells nothing of the machine, and they often cannot send a token.
_OPEN = frozenset({"/healthz", "/readyz"})
_SHORTEST = 16


class Guard:
    """Answers only those who send the token, as a bearer token or as the password of basic auth."""

    def __init__(self, token: bytes, answer: Answer) -> None:
        self._token = token
        self._answer = answer

    def __call__(self, request: Request) -> Response:
        """The answer, or 401."""
        if request.path in _OPEN or self._allowed(request.headers.get("authorization", "")):
            return self._answer(request)
        return Response(
            b"401 Unauthorized\n",
            status=HTTPStatus.UNAUTHORIZED,
            headers={"WWW-Authenticate": 'Basic realm="gpudoctor", charset="UTF-8"'},
        )

    def _allowed(self, header: str) -> bool:
        scheme, _, value = header.partition(" ")
        sent = value.strip().encode("latin-1", "replace")
        if scheme.lower() == "basic":
            try:
                sent = base64.b64decode(sent, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(sent, self._token)


def read_token(path: Path) -> bytes:
    """The token in the file, without the line break at its end.

    Raises:
        GpuDoctorError: there is none, it is short, or others may read the file.
    """
    try:
        token = path.read_bytes().strip()
        mode = path.stat().st_mode
    except OSError as error:
        raise GpuDoctorError(f"the token {path} cannot be read", cause=error.strerror) from error
    if len(token) < _SHORTEST:
        raise GpuDoctorError(
            f"the token in {path} is shorter than {_SHORTEST} characters",
            hint=f"Make one: (umask 077; openssl rand -hex 32 > {path})",
        )
    if mode & 0o007:
        raise GpuDoctorError(
            f"everybody may read the token in {path}", hint=f"Take that away: chmod o= {path}"
        )
    return token


def tls(
    certificate: Path | None, key: Path | None = None, client_ca: Path | None = None
) -> ssl.SSLContext | None:
    """TLS 1.2 or newer with these PEM files; None where there is no certificate.

    Raises:
        GpuDoctorError: a file is missing or does not fit the others.
    """
    if certificate is None:
        if key or client_ca:
            raise GpuDoctorError("there is no TLS without --tls-cert")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        named = [str(one) for one in (certificate, key, client_ca) if one]
        raise GpuDoctorError(
            "TLS cannot be set up",
            cause=error.strerror or str(error),
            hint=f"Look at {', '.join(named)}: PEM files, the key without a password.",
        ) from error
    return context
