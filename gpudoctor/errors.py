"""The one exception that a user sees, and the exit codes that a script may rely on."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command (`profile` passes the script's own code through)."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    UNAVAILABLE = 3
    INTERRUPTED = 130


class GpuDoctorError(Exception):
    """Something that the user can act on: what happened, why, and what to do next."""

    def __init__(
        self,
        message: str,
        *,
        cause: str | None = None,
        hint: str | None = None,
        exit_code: ExitCode = ExitCode.USAGE,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.cause = cause
        self.hint = hint
        self.exit_code = exit_code

    def block(self) -> str:
        """The error as one block of text: `error:`, `cause:`, an empty line, `hint:`."""
        lines = [_labelled("error", self.message)]
        if self.cause:
            lines.append(_labelled("cause", self.cause))
        if self.hint:
            lines += ["", _labelled("hint", self.hint)]
        return "\n".join(lines)


def why(error: Exception) -> str:
    """What the system says of an error, without its number and the path that the message names."""
    said = error.strerror if isinstance(error, OSError) else None
    return said or str(error)


def _labelled(label: str, text: str) -> str:
    indent = " " * (len(label) + 2)
    return f"{label}: " + f"\n{indent}".join(text.splitlines())
