"""What keys are called on the screen, everywhere alike."""

from __future__ import annotations

_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "minus": "-",
    "plus": "+",
    "greater_than_sign": ">",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "up": "Up",
    "down": "Down",
    "home": "Home",
    "end": "End",
    "enter": "Enter",
    "escape": "Esc",
    "tab": "Tab",
    "space": "Space",
    "backspace": "Backspace",
    "delete": "Delete",
    "left": "Left",
    "right": "Right",
    "ctrl+c": "Ctrl-C",
    "ctrl+q": "Ctrl-Q",
    "ctrl+p": "Ctrl-P",
}


def key_name(key: str) -> str:
    """As it is printed on a keyboard: `F2`, `Esc`, `?`; a letter is itself."""
    if key[0] == "f" and key[1:].isdigit():
        return key.upper()
    return _NAMES.get(key, key)
