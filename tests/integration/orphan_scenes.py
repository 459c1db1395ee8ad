"""Real processes in the states in which GPU memory is left behind, and in those in which it is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.reclaim.children import Nursery, state_of, until

PYTHON = sys.executable
IDLE = "import time\nwhile True: time.sleep(600)\n"
BUSY = "while True: sum(range(1000))\n"

# Forks twice, as a daemon does; what stays behind runs `code` and has written its pid.
TWICE = """
import os, sys
code, file = sys.argv[1:3]
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(file + "~", "w").write(str(os.getpid())); os.rename(file + "~", file)
        exec(compile(code, "left", "exec"), {})
    os._exit(0)
os.wait()
"""

LOADER = """
import os, sys, time, torch
from torch.utils.data import DataLoader, Dataset
class Stuck(Dataset):
    def __len__(self): return 4
    def __getitem__(self, index):
        open(sys.argv[1] + "~", "w").write(str(os.getpid())); os.rename(sys.argv[1] + "~", sys.argv[1])
        time.sleep(600)
for _ in DataLoader(Stuck(), num_workers=1): pass
"""

RANK = """
import os, sys, time
file = sys.argv[1] + os.environ["RANK"]
open(file + "~", "w").write(str(os.getpid())); os.rename(file + "~", file)
time.sleep(600)
"""

THREADS_ONLY = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
print("ready", flush=True)
ctypes.CDLL(None).syscall(60, 0)   # exit(2) ends the calling thread alone
"""

# The terminal is gone as soon as this program has ended.
IN_TERMINAL = """
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0: os.execvp("sh", ["sh", "-c", sys.argv[1]])
os.waitpid(pid, 0)
"""

HANGS_UP = "import signal\nsignal.signal(signal.SIGHUP, lambda *_: None)\n"


def left_pid(children: Nursery, file: Path) -> int:
    until(file.exists, 60)
    return children.adopt(int(file.read_text()))


def forked_twice(children: Nursery, name: str, code: str, *before: str) -> int:
    file = children.folder / name
    subprocess.run([*before, PYTHON, "-c", TWICE, code, str(file)], check=True, timeout=30)
    return left_pid(children, file)


def double_fork(children: Nursery) -> int:
    return forked_twice(children, "double", IDLE)


def nohup_on_purpose(children: Nursery) -> int:
    return forked_twice(children, "nohup", IDLE, "nohup")


def left_but_computing(children: Nursery) -> int:
    return forked_twice(children, "busy", BUSY)


def left_server(children: Nursery) -> int:
    listen = "import socket\ns = socket.create_server(('127.0.0.1', 0))\n"
    return forked_twice(children, "server", listen + IDLE)


def terminal_closed(children: Nursery) -> int:
    """In a terminal of its own, which then goes away with its shell; the process survives SIGHUP."""
    file = children.folder / "terminal"
    shell = f'{PYTHON} -c "$CODE" & echo $! > {file}~; sleep 0.5; mv {file}~ {file}; sleep 0.1'
    env = {**os.environ, "CODE": HANGS_UP + IDLE}
    subprocess.run([PYTHON, "-c", IN_TERMINAL, shell], env=env, timeout=30)
    return left_pid(children, file)


def loader_worker_left(children: Nursery) -> int:
    file = children.folder / "loader"
    trainer = subprocess.Popen([PYTHON, "-c", LOADER, str(file)], stderr=subprocess.DEVNULL)
    try:
        return left_pid(children, file)
    finally:
        trainer.kill()
        trainer.wait()


def loader_worker_at_work(children: Nursery) -> int:
    file = children.folder / "loader-alive"
    children.python(f"print('ready')\n{LOADER.replace('sys.argv[1]', repr(str(file)))}")
    return left_pid(children, file)


def rank_left(children: Nursery) -> int:
    """torchrun with two ranks; the launcher is killed and cannot take them along."""
    script = children.folder / "rank.py"
    script.write_text(RANK)
    file = children.folder / "rank-"
    command = [PYTHON, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    launcher = subprocess.Popen([*command, str(script), str(file)], stderr=subprocess.DEVNULL)
    try:
        first = left_pid(children, Path(f"{file}0"))
        left_pid(children, Path(f"{file}1"))
        return first
    finally:
        launcher.kill()
        launcher.wait()


def zombie_with_live_threads(children: Nursery) -> int:
    pid = children.python(THREADS_ONLY)
    until(lambda: state_of(pid) == "Z")
    return pid


def stopped(children: Nursery) -> int:
    # In a group of its own: where ours is orphaned, as in a background runner, SIGTSTP stops nobody.
    pid = children.python(f"print('ready')\n{IDLE}", process_group=0)
    os.kill(pid, signal.SIGTSTP)
    until(lambda: state_of(pid) == "T")
    return pid


def kernel_without_server(children: Nursery) -> int:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return _kernel(children, str(ended.pid), "dead")


def kernel_with_server(children: Nursery) -> int:
    return _kernel(children, str(os.getpid()), "alive")


def _kernel(children: Nursery, server: str, name: str) -> int:
    folder = children.folder / f"kernel-{name}"
    folder.mkdir()
    program, connection = folder / "ipykernel_launcher.py", folder / "kernel-1.json"
    program.write_text(f"print('ready', flush=True)\n{IDLE}")
    connection.write_text("{}")
    env = {**os.environ, "JPY_PARENT_PID": server}
    return children.run([PYTHON, str(program), "-f", str(connection)], env=env)


def in_tmux(children: Nursery) -> int:
    file = children.folder / "tmux"
    server = ["tmux", "-L", f"gpudoctor-{os.getpid()}", "-f", os.devnull]
    env = {name: value for name, value in os.environ.items() if name != "TMUX"}
    shell = f"{PYTHON} -c '{IDLE}' & echo $! > {file}~; mv {file}~ {file}; wait"
    subprocess.run([*server, "new-session", "-d", shell], check=True, env=env, timeout=30)
    return left_pid(children, file)


def idle_child(children: Nursery) -> int:
    return children.python(f"print('ready')\n{IDLE}")


def own_session(children: Nursery) -> int:
    return children.python(f"print('ready')\n{IDLE}", start_new_session=True)


def busy_child(children: Nursery) -> int:
    return children.python(f"print('ready')\n{BUSY}")


Scene = Callable[[Nursery], int]

# Each scene with its verdict and the reason that must be among those given.
SCENES: dict[Scene, tuple[str, str | None]] = {
    rank_left: ("orphan", "launcher-died"),
    loader_worker_left: ("orphan", "loader-parent-died"),
    zombie_with_live_threads: ("orphan", "leader-dead"),
    kernel_without_server: ("orphan", "server-died"),
    double_fork: ("orphan", "terminal-gone"),
    terminal_closed: ("orphan", "terminal-gone"),
    stopped: ("suspect", "stopped"),
    nohup_on_purpose: ("suspect", "nohup"),
    left_server: ("suspect", "listens"),
    left_but_computing: ("in use", "progress"),
    loader_worker_at_work: ("in use", None),
    kernel_with_server: ("in use", None),
    in_tmux: ("in use", "in-hand"),
    idle_child: ("in use", None),
    own_session: ("in use", None),
    busy_child: ("in use", None),
}


def settle() -> None:
    """Time for the orphans to be handed to their new parent."""
    time.sleep(0.5)
