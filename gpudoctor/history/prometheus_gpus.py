"""Asks a Prometheus for the GPUs of one machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gpudoctor.history.prometheus import Prometheus
from gpudoctor.model.fleet import FleetGpu

_AT_ONCE = 6
_Series = list[tuple[dict[str, str], float]]


def read_gpus(server: Prometheus, instance: str, *, idle_for: str = "1h") -> tuple[FleetGpu, ...]:
    """The GPUs of a machine as the server knows them now, by index; none where it tells of none.

    Raises:
        GpuDoctorError: the server does not answer, or refuses a query.
    """
    queries = _queries(instance, idle_for)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = dict(zip(queries, pool.map(server.vector, queries.values()), strict=True))
    facts = {labels.get("uuid", ""): labels for labels, _ in answers["info"]}
    values = {
        name: {labels.get("uuid", ""): value for labels, value in series}
        for name, series in answers.items()
    }
    uuids = set(facts) | set(values["up"])
    gpus = (_gpu(uuid, facts.get(uuid, {}), values, answers) for uuid in uuids)
    return tuple(sorted(gpus, key=lambda it: (it.index is None, it.index or 0, it.uuid)))


def _queries(instance: str, idle_for: str) -> dict[str, str]:
    # A JSON string is quoted as PromQL quotes strings.
    of_machine = f"instance={json.dumps(instance, ensure_ascii=False)}"

    def of(metric: str) -> str:
        return f"gpudoctor_{metric}{{{of_machine}}}"

    return {
        "info": of("gpu_info"),
        "up": of("gpu_up"),
        "utilization_ratio": of("gpu_utilization_ratio"),
        "busiest_ratio": f"max_over_time({of('gpu_utilization_ratio')}[{idle_for}])",
        "memory_used_bytes": of("gpu_memory_used_bytes"),
        "memory_total_bytes": of("gpu_memory_total_bytes"),
        "power_watts": of("gpu_power_usage_watts"),
        "celsius": of("gpu_temperature_celsius"),
        "processes": f"sum by (uuid) ({of('gpu_processes')})",
        "users": f"{of('user_memory_used_bytes')} > 0",
        "xids": f"time() - {of('gpu_xid_last_timestamp_seconds')} < 86400",
    }


_SINGLE = (
    "utilization_ratio", "busiest_ratio", "memory_used_bytes", "memory_total_bytes", "power_watts",
    "celsius",
)  # fmt: skip


def _gpu(
    uuid: str,
    facts: Mapping[str, str],
    values: Mapping[str, Mapping[str, float]],
    answers: Mapping[str, _Series],
) -> FleetGpu:
    up, processes = values["up"].get(uuid), values["processes"].get(uuid)
    index = facts.get("index", "")
    single: dict[str, Any] = {name: values[name].get(uuid) for name in _SINGLE}
    held = [(value, labels) for labels, value in answers["users"] if labels.get("uuid") == uuid]
    held.sort(key=lambda pair: (-pair[0], pair[1].get("user", "")))
    codes = {labels.get("xid", "") for labels, _ in answers["xids"] if labels.get("uuid") == uuid}
    return FleetGpu(
        uuid,
        int(index) if index.isdecimal() else None,
        facts.get("name"),
        None if up is None else bool(up),
        **single,
        processes=None if processes is None else int(processes),
        users=tuple(labels.get("user", "") for _, labels in held),
        xids=tuple(sorted(int(code) for code in codes if code.isdecimal())),
    )
