"""The daemon itself: a Sampler, a Ledger and the HTTP server, from start to signal."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Sequence

from gpudoctor.daemon.access import Guard
from gpudoctor.daemon.http import HttpServer
from gpudoctor.daemon.ledger import Ledger
from gpudoctor.daemon.routes import Routes
from gpudoctor.daemon.supervisor import Supervisor
from gpudoctor.nvml.api import NvmlUnavailableError
from gpudoctor.sampling.sampler import Sampler, Subscriber

RETRY_S = 5.0
END_WITHIN_S = 1.8
_LOG = logging.getLogger(__name__)


class Service:
    """Runs until SIGTERM or SIGINT, and tells systemd how it is.

    `open_sampler` opens the driver. It is called in a thread of its own, again and again while it
    raises NvmlUnavailableError, so that a machine without a driver is served too.
    """

    def __init__(
        self,
        ledger: Ledger,
        open_sampler: Callable[[], Sampler],
        subscribers: Sequence[Subscriber] = (),
        *,
        token: bytes | None = None,
        context: ssl.SSLContext | None = None,
        retry_s: float = RETRY_S,
    ) -> None:
        self._ledger = ledger
        self._open_sampler = open_sampler
        self._subscribers = (ledger.add, *subscribers)
        self._retry_s = retry_s
        self._routes = Routes(ledger)
        self._answer = self._routes if token is None else Guard(token, self._routes)
        self._context = context
        self._sampler: Sampler | None = None
        self._ending = threading.Event()
        self._supervisor = Supervisor()

    def run(
        self, listening: Sequence[socket.socket], started: Callable[[], None] = lambda: None
    ) -> None:
        """Serve on `listening` until a signal ends it; `started` is called once requests are taken."""
        asyncio.run(self._run(listening, started))

    def attach(self, sampler: Sampler) -> None:
        """Use a sampler that is open already."""
        self._sampler = sampler
        for subscriber in self._subscribers:
            sampler.subscribe(subscriber)
        sampler.start()

    async def _run(self, listening: Sequence[socket.socket], started: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        end = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end.set)
        server = HttpServer(self._answer)
        for one in listening:
            await server.listen(one, self._context)
        if self._sampler is None:
            threading.Thread(target=self._wait_for_driver, name="opener", daemon=True).start()
        started()
        await self._until(end)
        self._end_in_time()
        await server.close()
        if self._sampler is not None:
            self._sampler.stop()

    async def _until(self, end: asyncio.Event) -> None:
        """Wait for the end, and tell systemd meanwhile that we live."""
        self._supervisor.tell("READY=1", self._status())
        watchdog_s = self._supervisor.watchdog_s
        while True:
            try:
                async with asyncio.timeout(None if watchdog_s is None else watchdog_s / 3):
                    await end.wait()
            except TimeoutError:
                view = self._ledger.view()
                # Samples come even while GPUs hang: if they stop, only a restart helps.
                if view.fresh or view.snapshot is None:
                    self._supervisor.tell("WATCHDOG=1", self._status())
            else:
                self._supervisor.tell("STOPPING=1")
                return

    def _status(self) -> str:
        view = self._ledger.view()
        if view.snapshot is None:
            return f"STATUS={self._routes.waiting_for or 'waiting for the first sample'}"
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
