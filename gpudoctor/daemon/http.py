"""A small HTTP server: GET and HEAD only, every limit set, one thread for all connections.

It is made for what a daemon on every machine meets: scrapers that read slowly or never, a thousand
at once, requests that are no HTTP. None of them may cost more than a closed connection.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

HEAD_LIMIT = 8192
REQUEST_TIMEOUT_S = 10.0
IDLE_TIMEOUT_S = 75.0
MOST_CONNECTIONS = 512
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose head was read. Header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    # Who asks, where the kernel says it: at the sockets that were named to `listen` as local.
    uid: int | None = None

    def accepts(self, header: str, value: str) -> bool:
        """True when the header lists `value` and does not refuse it with q=0."""
        for item in self.headers.get(header, "").split(","):
            name, *parameters = (part.strip().lower() for part in item.split(";"))
            if name == value:
                return not any(part.replace(" ", "") in _REFUSED for part in parameters)
        return False


_REFUSED = ("q=0", "q=0.0", "q=0.00", "q=0.000")


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


_ALWAYS = {"X-Content-Type-Options": "nosniff"}


class BadRequestError(Exception):
    """The request cannot be answered; `status` says why."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


# What takes long is answered later, so that others need not wait for it.
Answer = Callable[[Request], Response | Awaitable[Response]]


class HttpServer:
    """Serves `answer` on sockets that listen already. All methods belong to the loop's thread."""

    def __init__(
        self, answer: Answer, *, timeout_s: float = REQUEST_TIMEOUT_S, most: int = MOST_CONNECTIONS
    ) -> None:
        self._answer = answer
        self._timeout_s = timeout_s
        self._most = most
        self._open: set[asyncio.Task[None]] = set()
        self._servers: dict[socket.socket, asyncio.Server] = {}

    async def listen(
        self,
        listening: socket.socket,
        context: ssl.SSLContext | None = None,
        *,
        local: bool = False,
    ) -> None:
        """Begin to accept connections on `listening`; a UNIX socket needs no TLS.

        Requests at one that is `local`, which only a UNIX socket can be, say whose they are.

        The socket stays the caller's. Asked for again, it takes the other context from the next
        connection on, and none is refused meanwhile.
        """
        before = self._servers.pop(listening, None)
        # asyncio closes the socket that it is given.
        sock = listening.dup()
        if listening.family == socket.AF_UNIX:
            taking = self._connected_locally if local else self._connected
            server = await asyncio.start_unix_server(taking, sock=sock, limit=HEAD_LIMIT)
        else:
            server = await asyncio.start_server(
                self._connected,
                sock=sock,
                limit=HEAD_LIMIT,
                ssl=context,
                ssl_handshake_timeout=self._timeout_s if context else None,
            )
        self._servers[listening] = server
        if before is not None:
            before.close()

    async def close(self) -> None:
        """Stop accepting and drop what is open; a scraper comes again."""
        for server in self._servers.values():
            server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected_locally(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        uid = _peer(writer.get_extra_info("socket"))
        await self._connected(reader, writer, uid)

    async def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, uid: int | None = None
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            if len(self._open) > self._most:
                await self._send(writer, _plain(HTTPStatus.SERVICE_UNAVAILABLE), "GET", last=True)
            else:
                await self._converse(reader, writer, uid)
        except (ConnectionError, TimeoutError, ssl.SSLError, asyncio.CancelledError):
            # The other side has left or is too slow, or we end: there is nobody to tell.
            writer.transport.abort()
        finally:
            self._open.discard(task)
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, uid: int | None
    ) -> None:
        patience = self._timeout_s
        while True:
            try:
                async with asyncio.timeout(patience):
                    head = await reader.readuntil(b"\r\n\r\n")
                request = replace(parse_head(head), uid=uid)
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                await self._send(writer, _plain(status), "GET", last=True)
                return
            except BadRequestError as error:
                await self._send(writer, _plain(error.status), "GET", last=True)
                return
            last = request.headers.get("connection", "").lower() == "close"
            await self._send(writer, await self._safely(request), request.method, last=last)
            if last:
                return
            patience = IDLE_TIMEOUT_S

    async def _safely(self, request: Request) -> Response:
        try:
            answer = self._answer(request)
            return answer if isinstance(answer, Response) else await answer
        except Exception:  # noqa: BLE001 - one broken answer must not end the daemon
            _LOG.exception("no answer to %s", request.path)
            return _plain(HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _send(
        self, writer: asyncio.StreamWriter, response: Response, method: str, *, last: bool
    ) -> None:
        lines = [
            f"HTTP/1.1 {response.status.value} {response.status.phrase}",
            f"Date: {formatdate(usegmt=True)}",
            f"Content-Type: {response.content_type}",
            f"Content-Length: {len(response.body)}",
            *(f"{name}: {value}" for name, value in {**_ALWAYS, **response.headers}.items()),
        ]
        if last:
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        writer.write(head if method == "HEAD" else head + response.body)
        async with asyncio.timeout(self._timeout_s):
            await writer.drain()


def _peer(connection: socket.socket) -> int | None:
    """The user at the other end of a UNIX socket; None for one in a container, where uids may differ."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    pid, uid, _ = struct.unpack("iII", told)
    # The kernel gives 0 where the pid has no meaning here.
    return int(uid) if pid else None


def parse_head(head: bytes) -> Request:
    """The request whose head, up to and with the empty line, is `head`.

    Raises:
        BadRequestError: it is no HTTP/1 request, has a body, or is neither GET nor HEAD.
    """
    first, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequestError(HTTPStatus.BAD_REQUEST)
    method, target, version = words
    headers: dict[str, str] = {"connection": "close"} if version == "HTTP/1.0" else {}
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise BadRequestError(HTTPStatus.BAD_REQUEST)
        key, value = name.lower(), value.strip()
        headers[key] = (
            f"{headers[key]},{value}" if key in headers and key != "connection" else value
        )
    if method not in ("GET", "HEAD"):
        raise BadRequestError(HTTPStatus.METHOD_NOT_ALLOWED)
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        raise BadRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    try:
        parts = urlsplit(target)
    except ValueError as error:
        raise BadRequestError(HTTPStatus.BAD_REQUEST) from error
    return Request(method, unquote(parts.path), parts.query, headers)


def _plain(status: HTTPStatus) -> Response:
    allow = {"Allow": "GET, HEAD"} if status is HTTPStatus.METHOD_NOT_ALLOWED else {}
    return Response(f"{status.value} {status.phrase}\n".encode(), status=status, headers=allow)
