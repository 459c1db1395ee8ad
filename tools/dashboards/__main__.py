"""Writes grafana/dashboards."""

from __future__ import annotations

import json
from pathlib import Path

from tools.dashboards import fleet, gpu, machine, users

FOLDER = Path(__file__).parents[2] / "grafana" / "dashboards"


def texts() -> dict[str, str]:
    """The text of each dashboard's file, by the file's name."""
    made = (module.build() for module in (fleet, machine, gpu, users))
    return {f"{item['uid']}.json": json.dumps(item, indent=2) + "\n" for item in made}


if __name__ == "__main__":
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
