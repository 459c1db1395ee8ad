"""The metrics in Prometheus' text formats: 0.0.4, and OpenMetrics 1.0.0.

Written here rather than with prometheus_client, whose objects per sample cost more than the values.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import isnan

from gpudoctor.render.metrics.machine import SERIES
from gpudoctor.render.metrics.table import METRICS
from gpudoctor.render.metrics.view import Kind, Metric, Reading, View
from gpudoctor.units import printable

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_LABEL_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})
_SUFFIX: dict[Kind, str] = {"gauge": "", "counter": "_total", "info": "_info"}


def exposition(
    view: View, *, openmetrics: bool = False, metrics: Iterable[Metric] = METRICS
) -> bytes:
    """`view` as the body of a scrape. A reading that is None has no series."""
    lines: list[str] = []
    heads = 0
    counted: int | None = None
    for metric in metrics:
        rows = [
            _row(metric, labels, value)
            for labels, value in metric.read(view)
            if value is not None and not isnan(value)
        ]
        if metric is SERIES:
            counted, rows = len(lines) + 1, [""]
        if rows:
            lines += _head(metric, openmetrics)
            lines += rows
            heads += 1
    if counted is not None:
        lines[counted + 1] = _row(SERIES, (), len(lines) - 2 * heads)
    if openmetrics:
        lines.append("# EOF")
    # A name of a process may hold a lone surrogate, which has no bytes of its own.
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _head(metric: Metric, openmetrics: bool) -> tuple[str, str]:
    if openmetrics and metric.kind == "counter" and not metric.name.endswith("_total"):
        # OpenMetrics has no counter without this suffix, which foreign names may lack.
        name, kind = metric.name, "unknown"
    elif openmetrics:
        name, kind = metric.name.removesuffix(_SUFFIX[metric.kind]), str(metric.kind)
    else:
        name, kind = metric.name, "gauge" if metric.kind == "info" else metric.kind
    text = metric.help.translate(_LABEL_ESCAPES if openmetrics else _HELP_ESCAPES)
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"


def _row(metric: Metric, values: tuple[str, ...], reading: Reading) -> str:
    if not metric.labels:
        return f"{metric.name} {_number(reading)}"
    pairs = ",".join(
        [
            f'{name}="{_shown(value).translate(_LABEL_ESCAPES)}"'
            for name, value in zip(metric.labels, values, strict=True)
        ]
    )
    return f"{metric.name}{{{pairs}}} {_number(reading)}"


def _shown(value: str) -> str:
    """Without what would drive the terminal of whoever reads the metrics with curl."""
    return value if value.isprintable() else printable(value)


def _number(reading: Reading) -> str:
    return repr(int(reading)) if isinstance(reading, bool) else repr(reading)
