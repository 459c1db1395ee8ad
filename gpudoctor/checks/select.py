"""Chooses checks by id or group, and says what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from gpudoctor.checks.registry import Check
from gpudoctor.errors import GpuDoctorError


def select(
    checks: Sequence[Check], only: Sequence[str] = (), skip: Sequence[str] = ()
) -> tuple[Check, ...]:
    """Those of `checks` that `only` names (all, if it is empty) and `skip` does not.

    Raises:
        GpuDoctorError: a name is neither an id nor a group.
    """
    for name in (*only, *skip):
        _known(name, checks)
    return tuple(
        check
        for check in checks
        if (not only or check.id in only or check.group in only)
        and check.id not in skip
        and check.group not in skip
    )


def find(name: str, checks: Sequence[Check]) -> Check:
    """The check of this id.

    Raises:
        GpuDoctorError: there is none.
    """
    for check in checks:
        if check.id == name:
            return check
    raise _unknown(name, [check.id for check in checks])


def _known(name: str, checks: Sequence[Check]) -> None:
    names = {check.id for check in checks} | {check.group for check in checks}
    if name not in names:
        raise _unknown(name, sorted(names))


def _unknown(name: str, names: Sequence[str]) -> GpuDoctorError:
    close = difflib.get_close_matches(name, names, n=1)
    return GpuDoctorError(
        f"there is no check or group named {name}",
        cause=f"did you mean {close[0]}?" if close else None,
        hint="gpudoctor check --list names them all.",
    )
