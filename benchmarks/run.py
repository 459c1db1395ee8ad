"""All measurements, one after the other: `make bench`, or `python -m benchmarks.run ps sample`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The measurements that there are."""
    return sorted(
        path.stem
        for path in FOLDER.glob("*.py")
        if path.stem != "run" and "__main__" in path.read_text()
    )


def main(wanted: list[str]) -> int:
    """Run those that are wanted, or all. Returns the number of those that failed."""
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        print(f"error: no measurement is named {', '.join(unknown)}\n", file=sys.stderr)
        print(f"hint: there are {', '.join(names())}", file=sys.stderr)
        return 2
    failed = []
    for name in wanted or names():
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        if subprocess.run(command, cwd=FOLDER.parent).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return min(len(failed), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
