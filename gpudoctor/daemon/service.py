"""The daemon itself: a Sampler, a Ledger and the HTTP server, from start to signal."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from gpudoctor.daemon.access import Access, Guard
from gpudoctor.daemon.http import HttpServer, Request, Response
from gpudoctor.daemon.ledger import Ledger
from gpudoctor.daemon.pace import Pace
from gpudoctor.daemon.routes import Routes
from gpudoctor.daemon.supervisor import Supervisor
from gpudoctor.errors import GpuDoctorError
from gpudoctor.nvml.api import NvmlUnavailableError
from gpudoctor.sampling.sampler import Sampler, Subscriber

RETRY_S = 5.0
END_WITHIN_S = 1.6
_EVERYBODY = Access()
_LOG = logging.getLogger(__name__)


class Service:
    """Runs until SIGTERM or SIGINT, and tells systemd how it is.

    `open_sampler` opens the driver. It is called in a thread of its own, again and again while it
    raises NvmlUnavailableError, so that a machine without a driver is served too. `reread` is called
    on SIGHUP, in a thread of its own too; when it raises GpuDoctorError, all stays as it was.
    """

    def __init__(
        self,
        ledger: Ledger,
        open_sampler: Callable[[], Sampler],
        subscribers: Sequence[Subscriber] = (),
        *,
        history: Path | None = None,
        access: Access = _EVERYBODY,
        reread: Callable[[], Access] | None = None,
        retry_s: float = RETRY_S,
    ) -> None:
        self._ledger = ledger
        self._open_sampler = open_sampler
        self._subscribers = (ledger.add, *subscribers)
        self._retry_s = retry_s
        self._pace = Pace(ledger.interval_s)
        self._routes = Routes(ledger, history, self._pace)
        self._access = access
        self._guard = Guard(access, self._routes)
        self._reread = reread
        self._reloads: set[asyncio.Task[None]] = set()
        self._sampler: Sampler | None = None
        self._ending = threading.Event()
        self._supervisor = Supervisor()

    def run(
        self,
        listening: Sequence[socket.socket],
        started: Callable[[], None] = lambda: None,
        *,
        local: Sequence[socket.socket] = (),
    ) -> None:
        """Serve on `listening` until a signal ends it; `started` is called once requests are taken.

        At the UNIX sockets in `local`, root and the daemon's own user need no token and no password.
        """
        asyncio.run(self._run(listening, started, local))

    def keep_pace(self, interval_s: float) -> None:
        """Sample every `interval_s` seconds from the next sample on."""
        self._ledger.keep_pace(interval_s)
        self._pace.usual_s = interval_s
        if self._sampler is not None:
            self._sampler.interval_s = self._pace.now()

    def attach(self, sampler: Sampler) -> None:
        """Use a sampler that is open already."""
        self._sampler = sampler
        for subscriber in self._subscribers:
            sampler.subscribe(subscriber)
        sampler.subscribe(lambda _: setattr(sampler, "interval_s", self._pace.now()))
        sampler.start()

    async def _run(
        self,
        listening: Sequence[socket.socket],
        started: Callable[[], None],
        local: Sequence[socket.socket],
    ) -> None:
        loop = asyncio.get_running_loop()
        end = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end.set)
        server = HttpServer(self._answer)
        for one in listening:
            await server.listen(one, self._access.context)
        for one in local:
            await server.listen(one, local=True)
        loop.add_signal_handler(signal.SIGHUP, self._begin_reload, server, listening)
        if self._sampler is None:
            threading.Thread(target=self._wait_for_driver, name="opener", daemon=True).start()
        started()
        await self._until(end)
        self._end_in_time()
        await server.close()
        if self._sampler is not None:
            self._sampler.stop()

    def _answer(self, request: Request) -> Response | Awaitable[Response]:
        return self._guard(request)

    def _begin_reload(self, server: HttpServer, listening: Sequence[socket.socket]) -> None:
        # Two at once would race for which of them is the newer; whoever asks may ask again.
        if not self._reloads:
            task = asyncio.get_running_loop().create_task(self._reload(server, listening))
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)

    async def _reload(self, server: HttpServer, listening: Sequence[socket.socket]) -> None:
        if self._reread is None:
            return
        try:
            access = await asyncio.to_thread(self._reread)
        except GpuDoctorError as error:
            told = f"{error.message}: {error.cause}" if error.cause else error.message
            _LOG.error("the settings were not read again, all stays as it was: %s", told)
            return
        self._access, self._guard = access, Guard(access, self._routes)
        for one in listening:
            if one.family != socket.AF_UNIX:
                await server.listen(one, access.context)
        _LOG.info("the settings were read again")

    async def _until(self, end: asyncio.Event) -> None:
        """Wait for the end, and tell systemd meanwhile that we live."""
        self._supervisor.tell("READY=1", self._status())
        while True:
            try:
                async with asyncio.timeout(self._supervisor.every_s):
                    await end.wait()
            except TimeoutError:
                view = self._ledger.view()
                # Samples come even while GPUs hang: if they stop, only a restart helps.
                alive = ("WATCHDOG=1",) if view.fresh or view.snapshot is None else ()
                self._supervisor.tell(*alive, self._status())
            else:
                self._supervisor.tell("STOPPING=1")
                return

    def _status(self) -> str:
        view = self._ledger.view()
        if view.snapshot is None:
            return f"STATUS={self._routes.waiting_for or 'waiting for the first sample'}"
        if not view.fresh:
            return "STATUS=no sample in time"
        return f"STATUS={len(view.answering())} of {len(view.devices)} GPUs answer"

    def _wait_for_driver(self) -> None:
        while not self._ending.is_set():
            try:
                sampler = self._open_sampler()
            except NvmlUnavailableError as error:
                if self._routes.waiting_for is None:
                    _LOG.warning("waiting for the driver: %s", error.message)
                self._routes.waiting_for = error.message
                self._ending.wait(self._retry_s)
                continue
            self._routes.waiting_for = None
            self.attach(sampler)
            return

    def _end_in_time(self) -> None:
        self._ending.set()
        # A driver call that hangs can hold up the closing of NVML for ever, but not the process.
        last_resort = threading.Timer(END_WITHIN_S, os._exit, (0,))
        last_resort.daemon = True
        last_resort.start()
