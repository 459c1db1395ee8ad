"""Our themes, and the names under which settings may ask for one."""

from __future__ import annotations

import difflib

from textual.theme import BUILTIN_THEMES, Theme

from gpudoctor.errors import GpuDoctorError

# Blue and orange instead of green and red tell levels apart for most colour-blind eyes too.
# Two colours that Textual's own themes lack: quiet text, and the empty part of a bar.
VARIABLES: dict[str, str] = {"dim": "#808a94", "track": "#3a444e"}

THEMES: tuple[Theme, ...] = (
    Theme(
        "dark",
        primary="#5aa9e6",
        secondary="#7b8cde",
        accent="#56c2d6",
        warning="#f0b429",
        error="#ff6b6b",
        success="#7bc96f",
        background="#101418",
        surface="#151a20",
        panel="#1d242c",
        foreground="#d7dde4",
        dark=True,
    ),
    Theme(
        "light",
        primary="#0b63a5",
        secondary="#4b4fa8",
        accent="#00718a",
        warning="#a15c00",
        error="#b3261e",
        success="#2b7a2b",
        background="#fbfbfa",
        surface="#f3f3f1",
        panel="#e6e6e3",
        foreground="#1c2024",
        dark=False,
        variables={"dim": "#6b6f73", "track": "#c4c7c9"},
    ),
    Theme(
        "contrast",
        primary="#00d7ff",
        secondary="#ff87ff",
        accent="#00ffff",
        warning="#ffff00",
        error="#ff5f5f",
        success="#5fff5f",
        background="#000000",
        surface="#000000",
        panel="#262626",
        foreground="#ffffff",
        dark=True,
        variables={"dim": "#c0c0c0", "track": "#808080"},
    ),
    Theme(
        "colour-blind",
        primary="#56b4e9",
        secondary="#cc79a7",
        accent="#56b4e9",
        warning="#f0e442",
        error="#e69f00",
        success="#0099d6",
        background="#101418",
        surface="#151a20",
        panel="#1d242c",
        foreground="#e6e6e6",
        dark=True,
    ),
    Theme(
        "plain",
        primary="#ffffff",
        secondary="#c0c0c0",
        accent="#ffffff",
        warning="#ffffff",
        error="#ffffff",
        success="#e0e0e0",
        background="#000000",
        surface="#000000",
        panel="#303030",
        foreground="#d0d0d0",
        dark=True,
        variables={"dim": "#909090", "track": "#606060"},
    ),
)
NAMES: tuple[str, ...] = tuple(theme.name for theme in THEMES)


def checked(name: str) -> str:
    """The theme that settings name.

    Raises:
        GpuDoctorError: there is none of this name.
    """
    known = (*NAMES, *BUILTIN_THEMES)
    if name in known:
        return name
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(known)}."
    raise GpuDoctorError(f"tui.theme names an unknown theme: {name}", hint=hint)


def following(name: str) -> str:
    """The next of our themes."""
    return NAMES[(NAMES.index(name) + 1) % len(NAMES)] if name in NAMES else NAMES[0]
