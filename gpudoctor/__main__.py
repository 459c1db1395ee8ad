"""`python -m gpudoctor`, and the console script."""

from __future__ import annotations

import atexit
import gc
import os
import sys

from gpudoctor.cli.main import run

# Starting up makes some ten thousand objects, none of them garbage: looking for it costs 8 ms.
_COLLECT_AFTER = 50_000


def main() -> None:
    """Run the command that sys.argv names, and exit with its code.

    Leaves without taking the interpreter down: that costs 12 ms, and a thread that hangs in a driver
    call would be torn down with it.
    """
    gc.set_threshold(_COLLECT_AFTER)
    code = run(sys.argv[1:])
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = code or 1
    os._exit(code)


if __name__ == "__main__":
    main()
