"""Who may ask: a token, users with passwords, and TLS with or without certificates of the clients."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import os
import ssl
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path

from gpudoctor.daemon.http import Answer, Request, Response
from gpudoctor.daemon.webconfig import read_web_config, secure_context
from gpudoctor.errors import GpuDoctorError

# What supervisors ask for tells nothing of the machine, and they often cannot send a token.
_OPEN = frozenset({"/healthz", "/readyz"})
_SHORTEST = 16
_REMEMBERED = 256
# A name that nobody has costs as much time as a wrong password, so that names cannot be guessed by it.
_NOBODY = b"$2b$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"


@dataclass(frozen=True, slots=True)
class Access:
    """What is asked of those who ask; nothing where all is empty. `users` has bcrypt hashes."""

    token: bytes | None = None
    context: ssl.SSLContext | None = None
    users: Mapping[str, bytes] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccessFiles:
    """The files that say who may ask, so that they can be read again."""

    token: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None
    web_config: Path | None = None

    def read(self) -> Access:
        """What the files say now.

        Raises:
            GpuDoctorError: one of them cannot be used, or two speak of the same.
        """
        context = tls(self.certificate, self.key, self.client_ca)
        token = read_token(self.token) if self.token else None
        if self.web_config is None:
            return Access(token, context)
        web = read_web_config(self.web_config)
        if context is not None and web.context is not None:
            raise GpuDoctorError(
                f"both --tls-cert and {self.web_config} set up TLS", hint="Leave one of them out."
            )
        return Access(token, context or web.context, web.users, web.headers)


class Guard:
    """Answers only those who send the token, or the name and password of one of the users.

    The token is taken as a bearer token or as the password of basic auth, under any name. Where
    neither a token nor a user is set, everybody is answered. At the daemon's own socket root and the
    daemon's user need neither: they could read the token, and the daemon's memory.
    """

    def __init__(self, access: Access, answer: Answer) -> None:
        self._access = access
        self._answer = answer
        # bcrypt is made to be slow, and scrapers send the same password every few seconds.
        self._known: dict[bytes, bool] = {}
        self._salt = os.urandom(32)
        self._checking = asyncio.Semaphore(1)

    def __call__(self, request: Request) -> Response | Awaitable[Response]:
        """The answer, or 401."""
        header = request.headers.get("authorization", "")
        open_to_all = self._access.token is None and not self._access.users
        trusted = request.uid is not None and request.uid in (0, os.geteuid())
        if open_to_all or trusted or request.path in _OPEN or self._has_token(header):
            return self._answered(request)
        sent = _name_and_password(header)
        if sent is None or not self._access.users:
            return _REFUSAL
        known = self._known.get(self._digest(sent))
        if known is not None:
            return self._answered(request) if known else _REFUSAL
        return self._after_check(request, sent)

    def _answered(self, request: Request) -> Response | Awaitable[Response]:
        answer = self._answer(request)
        return self._dressed(answer) if isinstance(answer, Response) else self._later(answer)

    async def _later(self, answer: Awaitable[Response]) -> Response:
        return self._dressed(await answer)

    def _dressed(self, answer: Response) -> Response:
        more = self._access.headers
        return replace(answer, headers={**answer.headers, **more}) if more else answer

    def _has_token(self, header: str) -> bool:
        if self._access.token is None:
            return False
        scheme, _, value = header.partition(" ")
        sent = value.strip().encode("latin-1", "replace")
        if scheme.lower() == "basic":
            pair = _name_and_password(header)
            if pair is None:
                return False
            sent = pair[1]
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(sent, self._access.token)

    async def _after_check(self, request: Request, sent: tuple[str, bytes]) -> Response:
        # One at a time: a flood of wrong passwords must not take the machine's cores.
        async with self._checking:
            digest = self._digest(sent)
            right = self._known.get(digest)
            if right is None:
                hashed = self._access.users.get(sent[0])
                right = await asyncio.to_thread(_matches, sent[1], hashed)
                self._remember(digest, right)
        if not right:
            return _REFUSAL
        answer = self._answered(request)
        return answer if isinstance(answer, Response) else await answer

    def _remember(self, digest: bytes, right: bool) -> None:
        if len(self._known) >= _REMEMBERED:
            # Wrong ones go first: else a guesser could push out those who scrape.
            wrong = next((one for one, was in self._known.items() if not was), None)
            del self._known[wrong or next(iter(self._known))]
        self._known[digest] = right

    def _digest(self, sent: tuple[str, bytes]) -> bytes:
        return hmac.digest(self._salt, sent[0].encode() + b":" + sent[1], hashlib.sha256)


_REFUSAL = Response(
    b"401 Unauthorized\n",
    status=HTTPStatus.UNAUTHORIZED,
    headers={"WWW-Authenticate": 'Basic realm="gpudoctor", charset="UTF-8"'},
)


def _name_and_password(header: str) -> tuple[str, bytes] | None:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(value.strip().encode("latin-1", "replace"), validate=True)
    except binascii.Error:
        return None
    name, _, password = pair.partition(b":")
    return name.decode("utf-8", "replace"), password


def _matches(password: bytes, hashed: bytes | None) -> bool:
    import bcrypt

    # bcrypt reads no more than 72 bytes, and the library refuses what is longer.
    right = bcrypt.checkpw(password[:72], hashed or _NOBODY)
    return right and hashed is not None and len(password) <= 72


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
    return secure_context(certificate, key, client_ca)
