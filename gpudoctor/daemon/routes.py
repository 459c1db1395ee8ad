"""What the daemon answers at which path. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

from gpudoctor import __version__
from gpudoctor.daemon.archive import PATHS, Archive
from gpudoctor.daemon.client import VERSION_HEADER
from gpudoctor.daemon.http import Answer, Request, Response
from gpudoctor.daemon.ledger import Ledger
from gpudoctor.daemon.pace import Pace, parse_pace
from gpudoctor.model.codec import envelope, to_builtins
from gpudoctor.model.orphan import Verdict
from gpudoctor.model.snapshot import Snapshot
from gpudoctor.render.metrics.view import Inspection, View
from gpudoctor.render.prometheus import OPENMETRICS, TEXT

_JSON = "application/json"
_INDEX = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>gpudoctor</title>
<h1>gpudoctor {__version__}</h1>
<ul>
<li><a href="/metrics">/metrics</a>: Prometheus metrics
<li><a href="/api/v1/snapshot">/api/v1/snapshot</a>: the latest sample as JSON
<li><a href="/api/v1/findings">/api/v1/findings</a>: what the checks found, as JSON
<li><a href="/api/v1/orphans">/api/v1/orphans</a>: what is left over on the GPUs, as JSON
<li><a href="/api/v1/processes">/api/v1/processes</a>: who is on the GPUs, as JSON
<li><a href="/api/v1/history?since=15m">/api/v1/history</a>: what was recorded, as JSON
<li><a href="/api/v1/events?since=1d">/api/v1/events</a>: what the driver told, as JSON
<li><a href="/healthz">/healthz</a>: the daemon lives
<li><a href="/readyz">/readyz</a>: samples arrive
</ul>
</html>
"""


class Routes:
    """Answers requests from a Ledger, and from the history at `history` where there is one.

    `waiting_for` says why there is no sample yet, if known.
    """

    def __init__(
        self, ledger: Ledger, history: Path | None = None, pace: Pace | None = None
    ) -> None:
        self.waiting_for: str | None = None
        self._ledger = ledger
        self._pace = pace
        self._table: dict[str, Answer] = {
            **dict.fromkeys(PATHS, Archive(history)),
            "/": self._index,
            "/metrics": self._metrics,
            "/healthz": self._health,
            "/readyz": self._ready,
            "/api/v1/snapshot": self._snapshot,
            "/api/v1/processes": self._processes,
            "/api/v1/findings": self._findings,
            "/api/v1/orphans": self._orphans,
        }

    def __call__(self, request: Request) -> Response | Awaitable[Response]:
        """The answer to `request`."""
        answer = self._table.get(request.path)
        if answer is None:
            return Response(b"404 Not Found\n", status=HTTPStatus.NOT_FOUND)
        return answer(request)

    def _index(self, request: Request) -> Response:
        return Response(_INDEX.encode(), "text/html; charset=utf-8")

    def _metrics(self, request: Request) -> Response:
        openmetrics = request.accepts("accept", "application/openmetrics-text")
        compressed = request.accepts("accept-encoding", "gzip")
        body = self._ledger.metrics(openmetrics=openmetrics, compressed=compressed)
        return Response(
            body, OPENMETRICS if openmetrics else TEXT, headers=_coding(compressed, "Accept, ")
        )

    def _health(self, request: Request) -> Response:
        return Response(b"ok\n")

    def _ready(self, request: Request) -> Response:
        if self._ledger.view().fresh:
            return Response(b"ok\n")
        return self._unready("no sample in time")

    def _snapshot(self, request: Request) -> Response:
        try:
            wanted = parse_pace(request.query)
        except ValueError as error:
            return Response(f"{error}\n".encode(), status=HTTPStatus.BAD_REQUEST)
        if wanted is not None and self._pace is not None:
            self._pace.ask(wanted)
        return self._sampled(request, "snapshot", _snapshot_body)

    def _processes(self, request: Request) -> Response:
        return self._sampled(request, "processes", _processes_body)

    def _sampled(self, request: Request, kind: str, make: Callable[[View], bytes]) -> Response:
        if self._ledger.view().snapshot is None:
            return self._unready("no sample yet")
        compressed = request.accepts("accept-encoding", "gzip")
        body = self._ledger.body(kind, compressed, make)
        return Response(body, _JSON, headers=_coding(compressed) | {VERSION_HEADER: __version__})

    def _findings(self, request: Request) -> Response:
        return self._inspected(request, "findings", _findings_body)

    def _orphans(self, request: Request) -> Response:
        return self._inspected(request, "orphans", _orphans_body)

    def _inspected(
        self, request: Request, kind: str, make: Callable[[Inspection], bytes]
    ) -> Response:
        if self._ledger.view().inspection is None:
            return self._unready("no inspection yet")
        compressed = request.accepts("accept-encoding", "gzip")

        def body(view: View) -> bytes:
            # It may have grown old since; then there is nothing to tell any more.
            return make(view.inspection) if view.inspection else b"{}\n"

        return Response(
            self._ledger.body(kind, compressed, body), _JSON, headers=_coding(compressed)
        )

    def _unready(self, otherwise: str) -> Response:
        text = self.waiting_for or otherwise
        return Response(f"{text}\n".encode(), status=HTTPStatus.SERVICE_UNAVAILABLE)


def _snapshot_body(view: View) -> bytes:
    assert view.snapshot is not None
    told = view.snapshot if view.link_rows else _without_links(view.snapshot)
    body = {"fresh": view.fresh, "snapshot": to_builtins(told)}
    return envelope("gpudoctor.snapshot/1", body, at=view.snapshot.taken_at)


def _without_links(snapshot: Snapshot) -> Snapshot:
    """The same without the NVLinks one by one, which are a third of it and which nobody else reads."""
    devices = tuple(replace(it, nvlink=replace(it.nvlink, links=())) for it in snapshot.devices)
    return replace(snapshot, devices=devices)


def _processes_body(view: View) -> bytes:
    assert view.snapshot is not None
    body = {"fresh": view.fresh, "processes": to_builtins(view.snapshot.processes)}
    return envelope("gpudoctor.processes/1", body, at=view.snapshot.taken_at)


def _findings_body(inspection: Inspection) -> bytes:
    report = inspection.report
    body = {"findings": to_builtins(report.findings), "checks": to_builtins(report.checks)}
    return envelope("gpudoctor.check/1", body, at=inspection.at)


def _orphans_body(inspection: Inspection) -> bytes:
    left = [one for one in inspection.orphans if one.verdict is not Verdict.IN_USE]
    return envelope("gpudoctor.orphans/1", {"orphans": to_builtins(left)}, at=inspection.at)


def _coding(compressed: bool, vary: str = "") -> dict[str, str]:
    head = {"Vary": f"{vary}Accept-Encoding", "Cache-Control": "no-store"}
    return head | {"Content-Encoding": "gzip"} if compressed else head
