"""The commands as a user types them, and how one is run on a machine where something is wrong."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

# An interpreter without torch: importing torch a hundred times would test nothing more.
BARE = str(Path(sys.base_prefix) / "bin" / "python3")
GPUDOCTOR = (sys.executable, "-m", "gpudoctor")


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    def says(self) -> str:
        """The error's first line, if there is one, without what differs from run to run."""
        for line in self.stderr.strip().splitlines():
            if line.startswith("error: "):
                return re.sub(r"process \d+", "process PID", line.removeprefix("error: ").strip())
        return ""


@dataclass(frozen=True)
class Where:
    """A folder of its own, the environment, a process that the driver sees on GPU 0, and what goes before
    each command."""

    folder: Path
    env: Mapping[str, str]
    pid: int
    prefix: tuple[str, ...] = ()

    def starts(self, command: Command) -> list[str]:
        return [*self.prefix, *GPUDOCTOR, *command.arguments(self)]


Way = Callable[["Command", Where], Result]


def plainly(command: Command, where: Where) -> Result:
    """Run it with pipes for its output, and wait for its end."""
    begun = time.monotonic()
    done = subprocess.run(
        where.starts(command), cwd=where.folder, env=where.env,
        capture_output=True, text=True, timeout=command.limit_s, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Result(done.returncode, done.stdout, done.stderr, time.monotonic() - begun)


def scraped_once(command: Command, where: Where) -> Result:
    """Start a daemon, ask it once, and end it as systemd does; its metrics are its output."""
    begun = time.monotonic()
    child = subprocess.Popen(
        where.starts(command), cwd=where.folder, env=where.env, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stderr is not None
    said, body = "", ""
    try:
        for line in child.stderr:
            said += line
            if found := re.search(r"Serving on (http\S+)", line):
                body = _metrics(found[1], begun + command.limit_s)
                child.send_signal(signal.SIGTERM)
                break
        said += child.communicate(timeout=command.limit_s)[1] or ""
    finally:
        child.kill()
        child.wait()
    return Result(child.returncode, body, said, time.monotonic() - begun)


def _metrics(url: str, until: float) -> str:
    # 503 means that the first look is still going on.
    while True:
        try:
            with urllib.request.urlopen(f"{url}metrics", timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            if error.code != 503 or time.monotonic() > until:
                raise
        time.sleep(0.1)


def on_a_terminal(command: Command, where: Where) -> Result:
    """Start it on a terminal, wait until it has painted or given up, and press `q` until it ends."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    begun = time.monotonic()
    child = subprocess.Popen(
        where.starts(command), cwd=where.folder,
        env={**where.env, "TERM": "xterm-256color"}, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        raw = _until_it_ends(ours, child, begun + command.limit_s)
        code = child.wait(5)
    finally:
        child.kill()
        child.wait()
        os.close(ours)
    text = raw.decode(errors="replace").replace("\r\n", "\n")
    # What it says before or after the screen is for the user; the screen itself is its output.
    left = text if "\x1b[?1049h" not in text else text.rpartition("\x1b[?1049l")[2]
    return Result(code, text, left, time.monotonic() - begun)


def _until_it_ends(terminal: int, child: subprocess.Popen[bytes], until: float) -> bytes:
    raw, pressed = b"", 0.0
    while time.monotonic() < until:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                raw += os.read(terminal, 65536)
            except OSError:  # nobody holds the other end any more
                return raw
        elif child.poll() is not None:
            return raw
        elif b"GPU" in raw and time.monotonic() - pressed > 0.5:
            os.write(terminal, b"q")
            pressed = time.monotonic()
    raise subprocess.TimeoutExpired(child.args, time.monotonic() - until, raw)


@dataclass(frozen=True)
class Command:
    """Its words, and the seconds that it may take whatever the driver does.

    A driver that hangs is given up after ten; the rest is for a machine that runs a hundred of these.

    `of_the_machine`: what it finds (0 or 1) also depends on more than the driver: the Python, the
    kernel log, the processes that are visible. `enters`: it stops the process that it acts on.
    `loads`: it asks the driver through libcuda.so.1, which is there then.
    """

    words: tuple[str, ...]
    limit_s: float = 45
    way: Way = plainly
    of_the_machine: bool = False
    enters: bool = False
    loads: bool = False

    def arguments(self, where: Where) -> list[str]:
        return [word.replace("PID", str(where.pid)).replace("PYTHON", BARE) for word in self.words]

    def run(self, where: Where) -> Result:
        return self.way(self, where)


def _typed(line: str, **more: object) -> Command:
    return Command(tuple(line.split()), **more)  # type: ignore[arg-type]


# Those that look at the driver, under the names that the page gives them.
COMMANDS: Mapping[str, Command] = {
    "overview": _typed(""),
    "terminal UI": _typed("", way=on_a_terminal),
    "--once": _typed("--once"),
    "ps": _typed("ps"),
    "ps --tree": _typed("ps --tree"),
    "ps --json": _typed("ps --json"),
    "env --json": _typed("env --json --python PYTHON --timeout 10"),
    "env --pid": _typed("env --json --pid PID --timeout 10"),
    "check --json": _typed("check --json --python PYTHON", of_the_machine=True),
    "visible --json": _typed("visible --json --timeout 5"),
    "pick -n 1": _typed("pick -n 1"),
    "orphans --json": _typed("orphans --json --window 0", of_the_machine=True),
    "kill --dry-run": _typed("kill PID --dry-run"),
    "empty-cache": _typed("empty-cache PID --yes --timeout 2", enters=True),
    "park --dry-run": _typed("park PID --dry-run", loads=True),
    "unpark --dry-run": _typed("unpark PID --dry-run", loads=True),
    "reset": _typed("reset 0"),
    "profile": _typed("profile --python PYTHON --out out tiny.py"),
    "record": _typed("record recording.ndjson --duration 1 --interval 0.5"),
    "serve": _typed("serve --listen 127.0.0.1:0 --interval 1 --inspect 0", way=scraped_once),
}

# Those that never ask it, with how they end.
APART: Mapping[str, tuple[Command, int]] = {
    "bench (a script that is not there)": (_typed("bench missing.py"), 2),
    "history (none kept)": (_typed("history"), 3),
    "fleet (no Prometheus named)": (_typed("fleet"), 2),
    "web (an address that is none)": (_typed("web --listen nowhere"), 2),
    "service show": (_typed("service show"), 0),
    "metrics": (_typed("metrics"), 0),
    "dashboards": (_typed("dashboards --out out"), 0),
    "schema ps": (_typed("schema ps"), 0),
    "completion bash": (_typed("completion bash"), 0),
    "--version": (_typed("--version"), 0),
    "--help": (_typed("--help"), 0),
}
