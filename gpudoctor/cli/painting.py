"""What is to be done before a terminal UI takes the screen."""

from __future__ import annotations

import logging
import sys


def paint_on_stdout() -> None:
    """Keep warnings off the screen, and paint on it even where stderr goes to a file."""
    logging.getLogger("gpudoctor").addHandler(logging.NullHandler())
    if not sys.stderr.isatty():
        # Textual paints on stderr; where that goes to a file, the terminal is behind stdout.
        sys.__stderr__ = sys.__stdout__  # type: ignore[misc]
