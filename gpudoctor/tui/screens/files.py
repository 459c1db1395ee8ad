"""Chooses a Python script."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import DirectoryTree


class _Scripts(DirectoryTree):
    """Folders and Python files; nothing hidden. Folders are read outside of the painting thread."""

    ICON_NODE = "+ "
    ICON_NODE_EXPANDED = "- "
    ICON_FILE = "  "

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        """What may be chosen or opened."""
        return [
            path
            for path in paths
            if not path.name.startswith(".") and (path.suffix == ".py" or path.is_dir())
        ]


class FileScreen(ModalScreen[Path | None]):
    """Closes with the script, or with None."""

    AUTO_FOCUS = "#tree"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Back"),
        Binding("backspace", "up", "The folder above"),
    ]

    def __init__(self, start: Path) -> None:
        super().__init__()
        self._start = start

    def compose(self) -> ComposeResult:
        """The folder as a tree."""
        with Vertical(id="files") as box:
            yield _Scripts(self._start, id="tree")
        box.border_title = "Choose a script"
        box.border_subtitle = "Enter chooses · Backspace: the folder above · Esc goes back"

    def on_directory_tree_file_selected(self, event: DirectoryTree.FileSelected) -> None:
        """That one."""
        self.dismiss(event.path)

    def action_up(self) -> None:
        """Show the folder above."""
        tree = self.query_one("#tree", DirectoryTree)
        tree.path = Path(tree.path).absolute().parent
