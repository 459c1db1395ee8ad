"""Copies through the terminal (OSC 52), so that it works over ssh, too."""

from __future__ import annotations

from textual.app import App

_SHOWN = 200


def copy(app: App[None], text: str) -> None:
    """Hand `text` to the terminal's clipboard and say so. Whether the terminal takes it is not told."""
    app.copy_to_clipboard(text)
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"
    app.notify(shown, title="Copied", markup=False)
