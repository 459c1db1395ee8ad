"""What is wrong with the machine rather than with its driver: processes that may not be looked at, and a
clock that jumps."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

from tests.libraries import library

# Another user's: nobody's, which has no rights on any machine.
NOBODY = {"user": 65534, "group": 65534, "extra_groups": []}
# Root in a namespace of its own is a user like any other, who still owns our files.
AS_A_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
# Root's group sees all that is hidden, unless another one is named.
_HIDE = "mount -t proc -o hidepid=2,gid=65534 proc /proc"
HIDDEN = ("unshare", "--mount", "sh", "-c", f'{_HIDE} && exec "$@"', "sh", *AS_A_USER)


@cache
def why_not(prefix: tuple[str, ...]) -> str | None:
    """Why commands cannot be started so on this machine; None where they can."""
    if os.geteuid() != 0:
        return "takes root"
    try:
        done = subprocess.run([*prefix, "true"], capture_output=True, text=True, timeout=30)
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else f"{prefix[0]}: {done.stderr.strip()}"


def jumping_clock(file: Path | None = None) -> dict[str, str]:
    """The environment of programs whose time of day is ahead by the seconds that `file` says; without one
    it jumps ahead by a day and back, each within a second.

    Raises:
        NoCompilerError: it cannot be made here.
    """
    made = {"LD_PRELOAD": str(library("clock.so", Path(__file__).parent) / "clock.so")}
    return made if file is None else {**made, "GPUDOCTOR_CLOCK": str(file)}
