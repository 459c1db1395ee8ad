"""Serves the terminal UI to browsers that know the secret of the address. Needs the extra `web`."""

from __future__ import annotations

import hmac
import secrets
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from textual_serve.server import Server

_MOST_SESSIONS = 4
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# Nothing is fetched from elsewhere, no other page frames this one, and the secret goes to nobody.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline';"
    " style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:;"
    " connect-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class GuardedServer(Server):
    """One process of `command` for each open page, for those who hold the token.

    Everybody on the machine reaches a port of it, and so does every web page that is open in a browser
    here. So the first request has to bring the token, which then is a cookie, and a page of another
    origin may not open the connection that carries the screen.
    """

    def __init__(self, command: str, host: str, port: int, token: str | None = None) -> None:
        super().__init__(command, host=host, port=port, title="gpudoctor")
        self.token = token or secrets.token_urlsafe(24)
        self._cookie = f"gpudoctor-{port}"
        self._open = 0

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard())
        app.on_response_prepare.append(_secure)
        return app

    def _guard(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
            shown = request.query.get("token")
            if request.path == "/" and shown is not None and self._knows(shown):
                answer = web.HTTPSeeOther("/")
                answer.set_cookie(self._cookie, self.token, httponly=True, samesite="Strict")
                raise answer
            if not self._knows(request.cookies.get(self._cookie, "")):
                raise web.HTTPForbidden(text="Open the address that `gpudoctor web` printed.\n")
            return await handler(request)

        return guard

    def _knows(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.token.encode())

    async def handle_index(self, request: web.Request) -> Any:
        """The page; its addresses are those by which it was asked for, as through a tunnel."""
        self.public_url = f"{request.scheme}://{request.host}"
        return await super().handle_index(request)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """The screen: only to our own page, and to few at once, as each is a process."""
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != request.host:
            raise web.HTTPForbidden(text="This page is of another origin.\n")
        if self._open >= _MOST_SESSIONS:
            raise web.HTTPServiceUnavailable(text=f"{_MOST_SESSIONS} pages are open already.\n")
        self._open += 1
        try:
            return await super().handle_websocket(request)
        finally:
            self._open -= 1

    async def on_startup(self, app: web.Application) -> None:
        """The command has said where it listens."""

    def serve_on(self, listening: socket.socket) -> None:
        """Serve until SIGINT or SIGTERM."""
        web.run_app(
            self._make_app(), sock=listening, print=None, access_log=None, shutdown_timeout=2
        )


async def _secure(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
