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

from gpudoctor.tui.widgets.keybar import KeyBar
from gpudoctor.tui.widgets.styling import glyphs_of


class _Scripts(DirectoryTree):
    """Folders and Python files; nothing hidden. Folders are read outside of the painting thread."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select_cursor", "Choose, or open the folder")
    ]
    ICON_NODE = "+ "
    ICON_NODE_EXPANDED = "- "
    ICON_FILE = "  "

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        """What may be chosen or opened."""
        return [
            path
            for path in paths
            if not path.name.startswith((".", "__pycache__"))
            and (path.suffix == ".py" or path.is_dir())
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
        self._start = start.absolute()

    def compose(self) -> ComposeResult:
        """The folder as a tree."""
        with Vertical(id="files") as box:
            tree = _Scripts(self._start, id="tree")
            # Its lines are drawn with characters that not every terminal has.
            tree.show_guides = not glyphs_of(self).plain
            yield tree
        box.border_title = "Choose a script"
        keys = "Enter chooses · Backspace: the folder above · Esc goes back"
        box.border_subtitle = glyphs_of(self).text(keys)
        yield KeyBar()

    def on_directory_tree_file_selected(self, event: DirectoryTree.FileSelected) -> None:
        """That one."""
        self.dismiss(event.path)

    def action_up(self) -> None:
        """Show the folder above."""
        tree = self.query_one("#tree", DirectoryTree)
        tree.path = Path(tree.path).absolute().parent
