"""The sampled stacks in the formats that other tools open."""

from __future__ import annotations

from typing import Any

from gpudoctor.profile.session import SamplesSeen

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def collapsed(samples: SamplesSeen) -> str:
    """The stacks as flame graph tools read them: `root;…;leaf microseconds`, one line each."""
    rows = []
    for weight, _, frames in samples.stacks:
        names = (
            f"{samples.functions[i][0]} ({samples.functions[i][1].rpartition('/')[2]}:{line})"
            for i, line in reversed(frames)
        )
        rows.append(f"{';'.join(names)} {round(weight * 1e6)}")
    return "\n".join(rows) + "\n" if rows else ""


def speedscope(samples: SamplesSeen, name: str) -> dict[str, Any]:
    """The stacks as speedscope.app reads them; weights in seconds."""
    frames = [
        {"name": function, "file": file, "line": line}
        for function, file, line, _ in samples.functions
    ]
    weights = [weight for weight, _, _ in samples.stacks]
    return {
        "$schema": _SCHEMA,
        "exporter": "gpudoctor",
        "name": name,
        "activeProfileIndex": 0,
        "shared": {"frames": frames},
        "profiles": [
            {
                "type": "sampled",
                "name": "main thread",
                "unit": "seconds",
                "startValue": 0,
                "endValue": sum(weights),
                "samples": [[i for i, _ in reversed(stack)] for _, _, stack in samples.stacks],
                "weights": weights,
            }
        ],
    }
