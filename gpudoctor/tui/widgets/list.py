"""A table that tells when its cursor moved."""

from __future__ import annotations

from textual.message import Message

from gpudoctor.tui.widgets.grid import Grid


class Listing(Grid):
    """For screens that show the row under the cursor in full beside the table."""

    class Moved(Message):
        """The cursor is on another row."""

    def _move(self, target: int) -> None:
        super()._move(target)
        self.post_message(self.Moved())
