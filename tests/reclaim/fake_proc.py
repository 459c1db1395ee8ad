"""A made-up /proc, for what no test machine has: processes with GPU device files open."""

from __future__ import annotations

from pathlib import Path


class FakeProc:
    """The folder `path` stands for the root of a machine. Calling it adds a process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "proc").mkdir()

    def __call__(
        self, pid: int, name: str, *files: str, command: tuple[str, ...] = (), parent: int = 1
    ) -> None:
        folder = self.path / "proc" / str(pid)
        (folder / "fd").mkdir(parents=True)
        for number, file in enumerate(files):
            (folder / "fd" / str(number)).symlink_to(file)
        tail = f"S {parent} 1 1 0 -1 0 0 0 0 0 5 5 0 0 20 0 1 0 77 0 0"
        (folder / "stat").write_text(f"{pid} ({name}) {tail}")
        (folder / "cmdline").write_text("".join(f"{word}\0" for word in command))
