"""The reference of the metrics, as values and as a page."""

from __future__ import annotations

from typing import Any

from gpudoctor.render.metrics.runs import RUN_GROUPS
from gpudoctor.render.metrics.table import GROUPS
from gpudoctor.render.metrics.view import MetricGroup

_HEAD = """# Metrics

What `gpudoctor serve` gives at `/metrics`, and at the end what `gpudoctor profile` and `gpudoctor bench`
write with `--metrics-file`. This page is made by `gpudoctor metrics --markdown`.

A reading that a GPU, its driver or our rights do not give has no series: never 0, never NaN. A GPU
that does not answer has `gpudoctor_gpu_up` 0 and no other readings. Units are bytes, seconds, watts,
joules, hertz and degrees Celsius; ratios go from 0 to 1. What does not change of a GPU is in
`gpudoctor_gpu_info`, to be joined on `uuid`:

```
gpudoctor_gpu_utilization_ratio * on (instance, uuid) group_left (index, name) gpudoctor_gpu_info
```
"""
_ALL: tuple[MetricGroup, ...] = (*GROUPS, *RUN_GROUPS)


def rows() -> list[dict[str, Any]]:
    """Each metric as a plain object."""
    return [
        {
            "name": metric.name,
            "type": metric.kind,
            "labels": list(metric.labels),
            "help": metric.help,
            "group": group.title,
        }
        for group in _ALL
        for metric in group.metrics
    ]


def markdown() -> str:
    """The page docs/metrics.md."""
    lines = [_HEAD]
    for group in _ALL:
        lines += [f"## {group.title}", "", "| Metric | Type | Labels | |", "|---|---|---|---|"]
        for metric in group.metrics:
            labels = ", ".join(f"`{label}`" for label in metric.labels)
            lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def text() -> str:
    """The reference for a terminal."""
    blocks = []
    for group in _ALL:
        entries = [
            f"  {metric.name}"
            + (f"{{{', '.join(metric.labels)}}}" if metric.labels else "")
            + f"  {metric.kind}\n      {metric.help}"
            for metric in group.metrics
        ]
        blocks.append("\n".join([group.title, *entries]))
    return "\n\n".join(blocks) + "\n"
