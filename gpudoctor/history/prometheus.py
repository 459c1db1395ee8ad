"""Asks a Prometheus, or what speaks its query API, for a fleet of machines."""

from __future__ import annotations

import http.client
import json
import math
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gpudoctor.errors import ExitCode, GpuDoctorError, why
from gpudoctor.model.fleet import Fleet, FleetMachine

_TIMEOUT_S = 20.0
_AT_ONCE = 6
# A row is about 150 bytes; so this is a fleet of 400,000 machines.
_MOST_BYTES = 64 * 1024 * 1024
# What was seen so recently belongs to the fleet even if it does not answer now.
_REMEMBERED = "1d"
_DENIED = frozenset({401, 403})
# What reading something of another shape raises; the last one, a number without end.
_NO_ANSWER = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError)


class Prometheus:
    """A server's query API. `url` is its root; `token`, if any, is sent as a bearer token."""

    def __init__(
        self, url: str, *, token: str | None = None, timeout_s: float = _TIMEOUT_S
    ) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_s = timeout_s
        try:
            scheme = urllib.parse.urlsplit(self.url).scheme
        except ValueError:
            scheme = ""
        if scheme not in ("http", "https"):
            raise GpuDoctorError(
                f"{url!r} is no address of a Prometheus", hint="Give one as http://HOST:9090."
            )

    def by_instance(self, expr: str) -> dict[str, float]:
        """The value of `expr` for each value of the label instance; raises as `vector` does."""
        return {labels.get("instance", ""): value for labels, value in self.vector(expr)}

    def vector(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """The labels and the value of each series of `expr` that has one.

        Raises:
            GpuDoctorError: the server does not answer, or refuses the query.
        """
        body = urllib.parse.urlencode({"query": expr}).encode()
        request = urllib.request.Request(  # noqa: S310 - the scheme was looked at
            f"{self.url}/api/v1/query", data=body, headers=self._headers
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:  # noqa: S310
                return _values(json.loads(answer.read(_MOST_BYTES)))
        except urllib.error.HTTPError as error:
            raise self._error(_told(error), denied=error.code in _DENIED) from error
        except (OSError, http.client.HTTPException) as error:
            said = getattr(error, "reason", error)
            raise self._error(why(said) if isinstance(said, Exception) else str(said)) from error
        except _NO_ANSWER as error:
            raise self._error("the answer is not that of a Prometheus") from error

    def _error(self, cause: str, *, denied: bool = False) -> GpuDoctorError:
        hint = "Check the address, and that it scrapes `gpudoctor serve`."
        if denied:
            hint = "Put a token that may query it into GPUDOCTOR_PROMETHEUS_TOKEN."
        return GpuDoctorError(
            f"the Prometheus at {self.url} cannot be asked",
            cause=cause,
            hint=hint,
            exit_code=ExitCode.UNAVAILABLE,
        )


def read_fleet(server: Prometheus, *, match: str = "", idle_for: str = "1h") -> Fleet:
    """All machines that the server knows. `match` are label matchers, such as `cluster="a"`.

    Raises:
        GpuDoctorError: the server does not answer, refuses a query, or knows no machine.
    """
    queries = _queries(match, idle_for)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = dict(zip(queries, pool.map(server.by_instance, queries.values()), strict=True))
    known = set(answers["remembered"]) | set(answers["sampling"])
    if not known:
        raise GpuDoctorError(
            "this Prometheus knows no machine with gpudoctor",
            cause="It has no series gpudoctor_sampling_up" + (f" with {match}." if match else "."),
            hint="Let it scrape `gpudoctor serve` on the machines; see `gpudoctor dashboards`.",
            exit_code=ExitCode.UNAVAILABLE,
        )
    machines = tuple(_machine(instance, answers) for instance in sorted(known))
    return Fleet(time.time(), server.url, machines)


def _queries(match: str, idle_for: str) -> dict[str, str]:
    def of(metric: str, more: str = "") -> str:
        return f"gpudoctor_{metric}{{{','.join(filter(None, (match, more)))}}}"

    held = f"({of('gpu_memory_used_bytes')} / {of('gpu_memory_total_bytes')} > 0.05)"
    busiest = f"max_over_time({of('gpu_utilization_ratio')}[{idle_for}])"
    on_gpu = f"sum by (instance, uuid) ({of('gpu_processes')})"
    xids = f"time() - {of('gpu_xid_last_timestamp_seconds')} < 86400"
    error = 'severity="error"'
    return {
        "sampling": f"max by (instance) ({of('sampling_up')})",
        "remembered": f"max by (instance) (last_over_time({of('sampling_up')}[{_REMEMBERED}]))",
        "gpus": f"count by (instance) ({of('gpu_info')})",
        "gpus_down": f"sum by (instance) (1 - {of('gpu_up')})",
        "gpus_free": f"sum by (instance) ({on_gpu} == bool 0)",
        "gpus_idle": f"count by (instance) ({held} and on (instance, uuid) ({busiest} < 0.01))",
        "utilization_ratio": f"avg by (instance) ({of('gpu_utilization_ratio')})",
        "memory_used_bytes": f"sum by (instance) ({of('gpu_memory_used_bytes')})",
        "memory_total_bytes": f"sum by (instance) ({of('gpu_memory_total_bytes')})",
        "power_watts": f"sum by (instance) ({of('gpu_power_usage_watts')})",
        "hottest_celsius": f"max by (instance) ({of('gpu_temperature_celsius')})",
        "processes": f"sum by (instance) ({of('gpu_processes')})",
        "orphans_memory_bytes": f"sum by (instance) ({of('orphans_memory_bytes')})",
        "findings": f"sum by (instance) ({of('findings', error)})",
        "xids": f"count by (instance) ({xids})",
    }


_COUNTS = frozenset(
    {"gpus", "gpus_down", "gpus_free", "gpus_idle", "processes", "findings", "xids"}
)
# No series means that there are none, where there is a machine that would tell.
_NONE_IS_ZERO = frozenset({"gpus_idle", "findings", "xids"})


def _machine(instance: str, answers: Mapping[str, Mapping[str, float]]) -> FleetMachine:
    sampling = answers["sampling"].get(instance)
    values: dict[str, Any] = {}
    for name, found in answers.items():
        if name in ("sampling", "remembered"):
            continue
        value = found.get(instance)
        if value is None and name in _NONE_IS_ZERO and sampling:
            value = 0.0
        values[name] = int(value) if value is not None and name in _COUNTS else value
    return FleetMachine(instance, None if sampling is None else bool(sampling), **values)


def _values(answer: Any) -> list[tuple[dict[str, str], float]]:
    if answer["data"]["resultType"] != "vector":
        raise ValueError("no vector")
    rows = [
        ({str(name): str(label) for name, label in row["metric"].items()}, float(row["value"][1]))
        for row in answer["data"]["result"]
    ]
    # NaN is how Prometheus says that there is no such value.
    return [(labels, value) for labels, value in rows if math.isfinite(value)]


def _told(error: urllib.error.HTTPError) -> str:
    """What the server says of the failure, in its own words where it has some."""
    try:
        return f"HTTP {error.code}: {json.loads(error.read(_MOST_BYTES))['error']}"
    except (ValueError, KeyError, TypeError, OSError, RecursionError, http.client.HTTPException):
        return f"HTTP {error.code} {error.reason}"
