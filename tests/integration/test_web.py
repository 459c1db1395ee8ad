"""`gpudoctor web`: the real server, asked as a browser would ask it, and as others would."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pytest

aiohttp = pytest.importorskip("aiohttp")
pytest.importorskip("textual_serve")
pytestmark = pytest.mark.integration


@contextmanager
def served(*words):
    """The process and its address, split into the root and the one with the token."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gpudoctor", *words, "web", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "GPUDOCTOR_CONFIG": os.devnull},
    )
    try:
        url = process.stdout.readline().strip()
        assert url, process.stderr.read()
        yield process, url.partition("?")[0], url
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


class Screen:
    """What came over the connection so far."""

    def __init__(self, socket):
        self._socket = socket
        self.text = ""

    async def wait(self, words, seconds=30):
        until = time.monotonic() + seconds
        while words not in self.text:
            left = until - time.monotonic()
            assert left > 0, f"never shown: {words}\n{self.text[-2000:]}"
            message = await self._socket.receive(timeout=left)
            assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), message
            if message.type == aiohttp.WSMsgType.BINARY:
                self.text += message.data.decode()

    async def type(self, keys):
        self.text = ""
        await self._socket.send_json(["stdin", keys])


async def opened(session, root, **headers):
    return await session.ws_connect(f"{root}ws?width=120&height=40", headers=headers)


def test_the_screen_comes_to_a_browser_and_does_nothing_to_a_process():
    async def look(root, url):
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            async with session.get(url) as page:
                text = await page.text()
                assert page.status == 200 and str(page.url) == root, "no token stays in the address"
                assert f"ws:{root.partition(':')[2]}ws" in text
                policy = page.headers["Content-Security-Policy"]
                assert "default-src 'self'" in policy
            async with session.get(f"{root}static/js/textual.js") as script:
                assert script.status == 200
            socket = await opened(session, root, Origin=root.rstrip("/"))
            screen = Screen(socket)
            await screen.wait("SIMULATED")
            await screen.wait("sweep.py")
            await screen.type("k")
            await screen.wait("SIGKILL")
            await screen.type("e")
            await screen.wait("this screen is read-only")
            await screen.type("?")
            await screen.wait("Sort by GPU memory")
            assert "Profile" not in screen.text
            await socket.close()

    with served("--demo") as (process, root, url):
        asyncio.run(look(root, url))
        process.send_signal(signal.SIGINT)
        assert process.wait(15) in (0, 130)
        assert "Traceback" not in process.stderr.read()


def test_nobody_else_gets_in():
    async def knock(root, url):
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            for path in ("", "?token=guess", "static/js/textual.js", "download/x", "ws"):
                async with session.get(root + path) as page:
                    assert page.status == 403, path
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await opened(session, root)
            async with session.get(url):
                pass
            for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
                with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                    await opened(session, root, Origin=origin)

    with served("--demo") as (process, root, url):
        asyncio.run(knock(root, url))
        assert psutil.Process(process.pid).children() == [], "nobody was shown a screen"


def test_no_more_than_a_few_pages_are_open_at_once_and_none_outlives_the_server():
    async def crowd(root, url, process):
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            async with session.get(url):
                pass
            for _ in range(4):
                await opened(session, root)
            with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
                await opened(session, root)
            children = psutil.Process(process.pid).children(recursive=True)
            assert children
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait, 20)
            return children

    with served("--demo") as (process, root, url):
        children = asyncio.run(crowd(root, url, process))
        assert psutil.wait_procs(children, timeout=10)[1] == []


def test_an_address_that_is_taken_is_told():
    with served("--demo") as (_, root, _url):
        port = root.rstrip("/").rpartition(":")[2]
        done = subprocess.run(
            [sys.executable, "-m", "gpudoctor", "web", "--listen", f"127.0.0.1:{port}"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode != 0
        assert "error: cannot listen" in done.stderr
