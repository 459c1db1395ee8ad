"""Our themes, and the names under which settings may ask for one."""

from __future__ import annotations

import difflib

from textual.theme import BUILTIN_THEMES, Theme

from gpudoctor.errors import GpuDoctorError

# Colours that our widgets use and Textual's own themes lack: quiet text, the empty part of a bar,
# and the line under the cursor.
VARIABLES: dict[str, str] = {"dim": "#8a8a8a", "track": "#444444", "cursor": "#005f87"}
# Nearly all colours are of the 256-colour palette, so that they look the same over ssh and in tmux.
THEMES: tuple[Theme, ...] = (
    Theme(
        "dark",
        primary="#5fafd7",
        secondary="#8787d7",
        accent="#5fd7d7",
        warning="#ffaf00",
        error="#ff5f5f",
        success="#87d75f",
        variables=VARIABLES,
        foreground="#dadada",
        background="#121212",
        surface="#1c1c1c",
        panel="#262626",
    ),
    Theme(
        "light",
        primary="#005faf",
        secondary="#5f5faf",
        accent="#00708a",
        warning="#a15c00",
        error="#af0000",
        success="#2b7a2b",
        foreground="#1c1c1c",
        background="#ffffff",
        surface="#f2f2f2",
        panel="#e4e4e4",
        dark=False,
        variables={"dim": "#6c6c6c", "track": "#c6c6c6", "cursor": "#afd7ff"},
    ),
    Theme(
        "contrast",
        primary="#00d7ff",
        secondary="#ff87ff",
        accent="#00ffff",
        warning="#ffff00",
        error="#ff5f5f",
        success="#5fff5f",
        variables={"dim": "#c6c6c6", "track": "#808080", "cursor": "#0000af"},
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#303030",
    ),
    # Blue and orange stay apart for eyes that see red and green alike.
    Theme(
        "colour-blind",
        primary="#5fafff",
        secondary="#d787af",
        accent="#87d7ff",
        warning="#ffff5f",
        error="#ff8700",
        success="#00afff",
        variables=VARIABLES,
        foreground="#dadada",
        background="#121212",
        surface="#1c1c1c",
        panel="#262626",
    ),
    Theme(
        "plain",
        primary="#ffffff",
        secondary="#bcbcbc",
        accent="#ffffff",
        warning="#ffffff",
        error="#ffffff",
        success="#e4e4e4",
        variables={"dim": "#949494", "track": "#626262", "cursor": "#585858"},
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#303030",
    ),
)
NAMES: tuple[str, ...] = tuple(theme.name for theme in THEMES)


def checked(name: str) -> str:
    """The theme that settings name; none where they name none.

    Raises:
        GpuDoctorError: there is none of this name.
    """
    known = (*NAMES, *BUILTIN_THEMES)
    if not name or name in known:
        return name
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(known)}."
    raise GpuDoctorError(f"tui.theme names an unknown theme: {name}", hint=hint)


def following(name: str) -> str:
    """The next of our themes."""
    return NAMES[(NAMES.index(name) + 1) % len(NAMES)] if name in NAMES else NAMES[0]
