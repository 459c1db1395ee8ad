"""The one table of metrics, from which /metrics and docs/metrics.md are made."""

from __future__ import annotations

from gpudoctor.render.metrics.findings import FINDINGS
from gpudoctor.render.metrics.gpu import MEMORY, POWER, UTILIZATION
from gpudoctor.render.metrics.health import CONDITION, ECC, MIG
from gpudoctor.render.metrics.links import LINKS
from gpudoctor.render.metrics.machine import GPU_LIST, HOST, SAMPLING
from gpudoctor.render.metrics.processes import PROCESSES
from gpudoctor.render.metrics.view import Metric, MetricGroup

GROUPS: tuple[MetricGroup, ...] = (
    GPU_LIST,
    UTILIZATION,
    MEMORY,
    POWER,
    LINKS,
    ECC,
    CONDITION,
    MIG,
    PROCESSES,
    FINDINGS,
    HOST,
    SAMPLING,
)
METRICS: tuple[Metric, ...] = tuple(metric for group in GROUPS for metric in group.metrics)
