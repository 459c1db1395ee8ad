"""The reclaim policy: which left-over processes the daemon may end, from a TOML file of its own."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from gpudoctor.errors import GpuDoctorError, why

DEFAULT_AT_MOST = 5
MOST_PER_HOUR = 1000
_SPAN = re.compile(r"(\d{1,6})(s|m|h|d)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TOP = ("at_most_per_hour", "reclaim")
_KEYS = ("users", "held_longer_than", "mode")
_TABLE = re.compile(r"\s*\[\[\s*reclaim\s*\]\]")


class Mode(StrEnum):
    """DRY_RUN: only say what would be ended. KILL: end it."""

    DRY_RUN = "dry-run"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class Rule:
    """Of whom a left-over process may be ended, and after how many seconds. "*" is all but root."""

    users: tuple[str, ...]
    held_longer_than_s: float
    mode: Mode = Mode.DRY_RUN

    def covers(self, user: str | None, uid: int | None) -> bool:
        """Whether the rule is for this user's processes; root's only where root is named."""
        if user is None or uid is None:
            return False
        return user in self.users or ("*" in self.users and uid != 0 and user != "root")


@dataclass(frozen=True, slots=True)
class Policy:
    """The first rule that covers a user decides. Of all rules together so many are ended in an hour."""

    rules: tuple[Rule, ...]
    at_most_per_hour: int = DEFAULT_AT_MOST

    def rule_for(self, user: str | None, uid: int | None) -> Rule | None:
        """The rule for this user's processes."""
        return next((rule for rule in self.rules if rule.covers(user, uid)), None)

    @property
    def kills(self) -> bool:
        """Whether anything is ever ended by it."""
        return any(rule.mode is Mode.KILL for rule in self.rules)


def read_policy(path: Path) -> Policy:
    """The policy in `path`.

    Raises:
        GpuDoctorError: it cannot be read, others may write it, or it says something unknown.
    """
    try:
        with path.open("rb") as file:
            told = os.fstat(file.fileno())
            text = file.read().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GpuDoctorError(
            f"the reclaim policy {path} cannot be read", cause=why(error)
        ) from error
    if told.st_uid not in (0, os.geteuid()) or told.st_mode & 0o022:
        raise GpuDoctorError(
            f"the reclaim policy {path} can be changed by others",
            cause="whoever may write it decides which processes are ended",
            hint=f"chmod go-w {path}, and let root or the daemon's user own it.",
        )
    return parse_policy(text, where=str(path))


def parse_policy(text: str, *, where: str) -> Policy:
    """The policy in `text`, TOML; `where` names it in errors, with the line."""
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise GpuDoctorError(f"{where} is not valid TOML", cause=str(error)) from error
    reader = _Reader(text, where)
    reader.reject_unknown(raw, _TOP, None)
    most = raw.get("at_most_per_hour", DEFAULT_AT_MOST)
    if type(most) is not int or not 1 <= most <= MOST_PER_HOUR:
        wanted = f"Give a whole number from 1 to {MOST_PER_HOUR}."
        reader.wrong(None, "at_most_per_hour", most, wanted)
    tables = raw.get("reclaim", [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        reader.wrong(None, "reclaim", tables, "Rules are tables: [[reclaim]].")
    if not tables:
        raise GpuDoctorError(f"{where} has no rule", hint="Rules begin with [[reclaim]].")
    return Policy(tuple(reader.rule(table, n) for n, table in enumerate(tables)), most)


class _Reader:
    """Reads rules, and names the line of what is wrong; tomllib does not tell where a value stood."""

    def __init__(self, text: str, where: str) -> None:
        self._lines = text.splitlines()
        self._where = where

    def rule(self, table: dict[str, Any], number: int) -> Rule:
        """The rule in the table that is the `number`th, from 0."""
        self.reject_unknown(table, _KEYS, number)
        users = table.get("users")
        if not isinstance(users, list) or not users or not all(map(_is_name, users)):
            self.wrong(
                number, "users", users, 'Name the users: ["ana", "ben"]; "*" is all but root.'
            )
        assert isinstance(users, list)
        span = table.get("held_longer_than")
        found = _SPAN.fullmatch(span) if isinstance(span, str) else None
        if found is None or int(found[1]) == 0:
            self.wrong(
                number, "held_longer_than", span, 'Give a span of time: "30m", "2h" or "1d".'
            )
        assert found is not None
        mode = table.get("mode", Mode.DRY_RUN.value)
        if mode not in tuple(Mode):
            self.wrong(number, "mode", mode, _meant(str(mode), tuple(Mode)))
        return Rule(tuple(users), int(found[1]) * _SECONDS[found[2]], Mode(mode))

    def reject_unknown(
        self, table: dict[str, Any], known: tuple[str, ...], number: int | None
    ) -> None:
        """That nothing is said that would be passed over."""
        for name in table:
            if name not in known:
                raise GpuDoctorError(
                    f"{self._at(number, name)}: unknown: {name}", hint=_meant(name, known)
                )

    def wrong(self, number: int | None, name: str, value: object, hint: str) -> None:
        """Raises GpuDoctorError: `name` has a value that it cannot have, or none."""
        said = "is missing" if value is None else f"is {value!r}"
        raise GpuDoctorError(f"{self._at(number, name)}: {name} {said}", hint=hint)

    def _at(self, number: int | None, name: str) -> str:
        line = self._line(number, name)
        return self._where if line is None else f"{self._where}, line {line}"

    def _line(self, number: int | None, name: str) -> int | None:
        """The line, from 1, on which `name` stands in that table, else the one on which the table begins."""
        key = re.compile(rf"\s*\[*\s*[\"']?{re.escape(name)}[\"']?\s*[=.\]]")
        table, begun = -1, None
        for at, line in enumerate(self._lines, start=1):
            if _TABLE.match(line):
                table += 1
                begun = at if table == number else begun
            if (number is None or table == number) and key.match(line):
                return at
        return begun


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _meant(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]}?" if close else f"Known here: {', '.join(known)}."
