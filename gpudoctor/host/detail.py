"""Reads what one process's files tell of it: program, folder, launchers, variables, visible GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gpudoctor.host.jupyter import connection_file, notebook
from gpudoctor.host.origins import PROC, ancestors, origin
from gpudoctor.host.proc_files import read_environment
from gpudoctor.host.variables import relevant
from gpudoctor.host.visible_devices import resolve
from gpudoctor.model.detail import ProcessDetail
from gpudoctor.model.environment import GpuRow


def detail(
    pid: int, command: Sequence[str], gpus: Sequence[GpuRow], root: Path = PROC
) -> ProcessDetail:
    """What can be read of `pid`; whoever asks makes sure that it is the process that is meant.

    A Jupyter kernel's server is asked, which may take a few seconds.
    """
    environ = read_environment(root, pid)
    connection = connection_file(tuple(command))
    return ProcessDetail(
        origin=origin(pid, command, root),
        above=ancestors(pid, root),
        executable=_link(root / str(pid) / "exe"),
        working_directory=_link(root / str(pid) / "cwd"),
        notebook=None if connection is None else notebook(connection),
        variables=None if environ is None else relevant(environ),
        cuda=None if environ is None or not gpus else resolve(environ, gpus),
    )


def _link(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:
        return None
