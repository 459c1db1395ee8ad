"""A real systemd that manages nothing but what a test gives it, in namespaces of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SYSTEMD = Path("/lib/systemd/systemd")
ROOT = Path(__file__).parents[2]
# The name of the service; what it needs of targets is made here, so that nothing of this machine starts.
NAME = "gpudoctor.service"
PATH = "SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/machine/units"
# Ends with whoever started it, so that tests that are killed leave nothing running.
MORTAL = ("setpriv", "--pdeathsig", "KILL")
_TARGETS = ("sysinit", "basic", "network", "multi-user", "shutdown")

# Everything that it mounts is gone with its namespaces; its processes are in a control group of their own.
_OUTER = """
mount --make-rprivate /
mount -t tmpfs -o mode=755 none /run
mkdir /run/groups
mount -t cgroup2 none /run/groups
own=/run/groups/gpudoctor-test-$$
mkdir $own
echo 0 >$own/cgroup.procs
setpriv --pdeathsig KILL \\
  unshare --mount --cgroup --pid --fork --kill-child --uts --ipc sh -eu "$1/inner.sh" "$1" "$2" || true
echo 0 >/run/groups/cgroup.procs
find $own -depth -type d -exec rmdir {} \\;
"""
# The settings of the kernel are everybody's, so they stay as they are.
_INNER = """
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,ro,bind /proc/sys
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
while mountpoint -q /run; do umount --recursive --lazy /run; done
for one in /run /var/lib /etc/systemd/system; do mount -t tmpfs -o mode=755 none $one; done
mkdir /run/machine /run/kept
mount --bind "$1" /run/machine
. /run/machine/reach.sh
for one in /tmp /var/tmp; do mount -t tmpfs -o mode=1777 none $one; done
touch /run/machine/began
export container=other "$2"
exec /lib/systemd/systemd --system --unit=multi-user.target --log-target=console --show-status=no
"""


class CannotBeRunError(Exception):
    """Why there can be no systemd here."""


class Systemd:
    """A running systemd. The folder that it was given is `/run/machine` for what it starts."""

    def __init__(self, pid: int, folder: Path) -> None:
        self.pid = pid
        self.folder = folder
        self.log = folder / "log"

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """What a root of that machine types."""
        enter = ["nsenter", "--target", str(self.pid), *["-m", "-p", "-C", "-u", "-i"]]
        env = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        done = subprocess.run(
            [*enter, *command], env=env, capture_output=True, text=True, timeout=60
        )
        assert not check or done.returncode == 0, f"{command}: {done.stderr}\n{self.told()}"
        return done

    def control(self, *words: str) -> str:
        return self.run("env", PATH, "systemctl", "--no-pager", *words).stdout

    def state(self) -> dict[str, str]:
        """What systemd knows of the service."""
        lines = self.control("show", NAME).splitlines()
        return dict(line.partition("=")[::2] for line in lines)

    def wait(self, seconds: float = 30, **wanted: str) -> dict[str, str]:
        """The state as soon as it is as wanted."""
        until = time.monotonic() + seconds
        while not wanted.items() <= (state := self.state()).items():
            seen = {name: state.get(name) for name in wanted}
            assert time.monotonic() < until, f"{seen}, not {wanted}: {self.told()}"
            time.sleep(0.05)
        return state

    def status(self) -> dict[str, str]:
        """/proc/PID/status of the service's main process, by the pids of that machine."""
        text = self.run("cat", f"/proc/{self.state()['MainPID']}/status").stdout
        return {
            name: told.strip() for name, _, told in (it.partition(":") for it in text.split("\n"))
        }

    def told(self) -> str:
        return "".join(
            path.read_text(errors="replace")
            for path in (self.folder / "boot.log", self.log)
            if path.exists()
        )


def _reach() -> str:
    """Shell that opens the way to the interpreter and to us: root's folder is closed to services."""
    needed = {Path(one).resolve() for one in (sys.base_prefix, sys.prefix, ROOT)}
    closed = sorted({up for one in needed for up in one.parents if not up.stat().st_mode & 0o001})
    below = [one for one in sorted(needed) if any(one.is_relative_to(up) for up in closed)]
    kept = {f"/run/kept/{number}": shlex.quote(str(one)) for number, one in enumerate(below)}
    lines = [f"mkdir {place}; mount --bind {one} {place}" for place, one in kept.items()]
    for up in closed:
        where = shlex.quote(str(up))
        lines.append(f"test ! -d {where} || mount -t tmpfs -o mode=755 none {where}")
    lines += [f"mkdir -p {one}; mount --bind {place} {one}" for place, one in kept.items()]
    return "\n".join(lines) + "\n"


def _prepare(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    units = folder / "units"
    units.mkdir()
    for name in _TARGETS:
        text = f"[Unit]\nDescription={name}\nDefaultDependencies=no\nAllowIsolate=yes\n"
        (units / f"{name}.target").write_text(text)
    (folder / "outer.sh").write_text(_OUTER)
    (folder / "inner.sh").write_text(_INNER)
    (folder / "reach.sh").write_text(_reach())


@contextmanager
def booted(folder: Path) -> Iterator[Systemd]:
    """A systemd with `folder` as its /run/machine.

    Raises:
        CannotBeRunError: this machine does not let us, or has none.
    """
    missing = [
        one for one in ("unshare", "nsenter", "setpriv", "systemctl") if shutil.which(one) is None
    ]
    if os.geteuid() != 0 or missing or not SYSTEMD.exists():
        raise CannotBeRunError(f"it takes root and systemd; missing: {missing}")
    if any(
        one.startswith(("/tmp/", "/var/tmp/")) for one in (sys.base_prefix, sys.prefix, str(ROOT))
    ):
        raise CannotBeRunError("gpudoctor lies in /tmp, of which the service has one of its own")
    _prepare(folder)
    with (folder / "boot.log").open("wb") as log:
        outer = subprocess.Popen(
            [
                *MORTAL,
                "unshare",
                "--mount",
                "sh",
                "-eu",
                str(folder / "outer.sh"),
                str(folder),
                PATH,
            ],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    pid = None
    try:
        pid = _first(outer, folder)
        yield Systemd(pid, folder)
    finally:
        # With the first process of a namespace all others end; the shell around it then cleans up.
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        else:
            outer.terminate()
        outer.wait(20)


def _first(outer: subprocess.Popen[bytes], folder: Path) -> int:
    """The pid of systemd, as seen from here, once it takes commands."""
    until = time.monotonic() + 30
    while time.monotonic() < until and outer.poll() is None:
        if (folder / "began").exists():
            for pid in _children(outer.pid):
                for inner in _children(pid):
                    made = Systemd(inner, folder)
                    done = made.run("systemctl", "is-active", "multi-user.target", check=False)
                    if done.stdout.strip() == "active":
                        return inner
        time.sleep(0.1)
    raise CannotBeRunError((folder / "boot.log").read_text(errors="replace").strip()[-500:])


def _children(pid: int) -> list[int]:
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
