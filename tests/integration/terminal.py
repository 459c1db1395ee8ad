"""A real terminal (tmux) in which a program runs, is typed at and is read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

GPUDOCTOR = str(Path(sys.executable).with_name("gpudoctor"))


class Terminal:
    """Ends its program and its tmux server when it is left."""

    def __init__(
        self,
        *command: str,
        env: Mapping[str, str] | None = None,
        width: int = 100,
        height: int = 30,
    ) -> None:
        self._server = [
            "tmux",
            "-L",
            f"gpudoctor-{os.getpid()}-{uuid4().hex[:8]}",
            "-f",
            os.devnull,
        ]
        self._command = command
        self._env = {**(env or os.environ), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        self._env.update({key: value for key, value in (env or {}).items() if key == "LC_ALL"})
        self._env.pop("TMUX", None)
        self._size = ["-x", str(width), "-y", str(height)]

    def __enter__(self) -> Terminal:
        # The shell stays, so that what the program leaves behind and its exit code can be read.
        script = f"{' '.join(self._command)}; echo left-with-$?; exec sleep 60"
        self._tmux("-u", "new-session", "-d", *self._size, script)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run([*self._server, "kill-server"], capture_output=True, check=False)

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._server, *arguments],
            env=self._env,
            capture_output=True,
            encoding="utf-8",
            timeout=20,
            check=True,
        )
        return done.stdout

    def type(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def text(self) -> str:
        return self._tmux("capture-pane", "-p")

    def coloured(self) -> str:
        """The screen with the escape sequences of its colours."""
        return self._tmux("capture-pane", "-e", "-p")

    def lines(self) -> list[str]:
        return self.text().splitlines()

    def wait(self, wanted: str | Callable[[str], object], seconds: float = 15) -> float:
        """Seconds until the screen shows `wanted`."""
        shows = wanted if callable(wanted) else lambda text: wanted in text
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            if shows(self.text()):
                return time.monotonic() - begun
            time.sleep(0.02)
        raise AssertionError(f"never shown: {wanted}\n{self.text()}")
