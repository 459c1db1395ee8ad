"""The pieces that every dashboard is made of."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any

Json = dict[str, Any]
SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
HERE = '{instance=~"$instance"}'
GREEN, ORANGE, RED = "green", "orange", "red"
_LETTERS = "ABCDEFGHIJKLMNOP"


@dataclass(frozen=True)
class Query:
    """A PromQL expression and the legend of its series."""

    expr: str
    legend: str = "GPU {{index}}"


def of_gpu(metric: str, more: str = "", *, selected: str = HERE) -> str:
    """`metric` of the chosen machines, with the GPU's index and name joined to it."""
    filters = selected if not more else selected[:-1] + "," + more + "}"
    return joined(f"{metric}{filters}", selected=selected)


def joined(expr: str, *, selected: str = HERE) -> str:
    """Any expression with labels instance and uuid, with the GPU's index and name joined to it."""
    return f"{expr} * on (instance, uuid) group_left (index, name) gpudoctor_gpu_info{selected}"


def steps(*pairs: tuple[float | None, str]) -> Json:
    """Thresholds: each colour from its value on."""
    return {
        "mode": "absolute",
        "steps": [{"color": color, "value": value} for value, color in pairs],
    }


def targets(
    queries: tuple[Query, ...], *, instant: bool = False, table: bool = False
) -> list[Json]:
    """The queries as Grafana wants them."""
    return [
        {
            "refId": _LETTERS[position],
            "datasource": SOURCE,
            "expr": query.expr,
            "legendFormat": query.legend,
            "instant": instant,
            "range": not instant,
            "format": "table" if table else "time_series",
        }
        for position, query in enumerate(queries)
    ]


def panel(kind: str, title: str, text: str, width: int, height: int, **more: Any) -> Json:
    """A panel whose place is still to be found."""
    size = {"w": width, "h": height}
    return {
        "type": kind,
        "title": title,
        "description": text,
        "datasource": SOURCE,
        "gridPos": size,
        **more,
    }


def graph(
    title: str,
    unit: str,
    *queries: Query,
    text: str = "",
    width: int = 12,
    stacked: bool = False,
    limits: tuple[float | None, float | None] = (0, None),
    thresholds: Json | None = None,
) -> Json:
    """A graph over time."""
    custom: Json = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    defaults: Json = {"unit": unit, "custom": custom}
    defaults |= {
        name: value for name, value in zip(("min", "max"), limits, strict=True) if value is not None
    }
    if thresholds:
        defaults["thresholds"] = thresholds
        custom["thresholdsStyle"] = {"mode": "line"}
    return panel(
        "timeseries",
        title,
        text,
        width,
        8,
        targets=targets(queries),
        fieldConfig={"defaults": defaults, "overrides": []},
        options={
            "legend": {
                "displayMode": "table",
                "placement": "right",
                "calcs": ["lastNotNull", "max"],
                "showLegend": True,
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    )


def stat(
    title: str,
    unit: str,
    query: str,
    *,
    text: str = "",
    width: int = 4,
    thresholds: Json | None = None,
    legend: str = "",
    named: bool = False,
    nothing: str = "–",
) -> Json:
    """One number, or with `named` the name of a series."""
    defaults = {
        "unit": unit,
        "noValue": nothing,
        "thresholds": thresholds or steps((None, GREEN)),
        "color": {"mode": "thresholds"},
        "mappings": [],
    }
    return panel(
        "stat",
        title,
        text,
        width,
        4,
        targets=targets((Query(query, legend),), instant=True),
        fieldConfig={"defaults": defaults, "overrides": []},
        options={
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "none",
            "textMode": "name" if named else "value",
            "justifyMode": "auto",
        },
    )


@dataclass(frozen=True)
class Column:
    """A column of a table: the query that fills it, its heading and unit."""

    heading: str
    unit: str
    expr: str
    link: str = ""
    thresholds: Json | None = None


def table(
    title: str,
    *columns: Column,
    text: str = "",
    width: int = 24,
    height: int = 8,
    hidden: tuple[str, ...] = (),
    nothing: str = "Nothing to tell.",
    renamed: dict[str, str] | None = None,
) -> Json:
    """A table: one row for each set of labels, one column for each query."""
    queries = tuple(Query(column.expr, "") for column in columns)
    alone = len(columns) == 1
    names = {
        "Value" if alone else f"Value #{_LETTERS[position]}": column.heading
        for position, column in enumerate(columns)
    }
    overrides = [
        {
            "matcher": {"id": "byName", "options": column.heading},
            "properties": [{"id": "unit", "value": column.unit}]
            + ([{"id": "thresholds", "value": column.thresholds}] if column.thresholds else [])
            + ([_colored()] if column.thresholds else []),
        }
        for column in columns
    ]
    overrides += [_linked(column) for column in columns if column.link]
    excluded = dict.fromkeys(("Time", "__name__", "job", *hidden), True)
    return panel(
        "table",
        title,
        text,
        width,
        height,
        targets=targets(queries, instant=True, table=True),
        fieldConfig={"defaults": {"noValue": nothing}, "overrides": overrides},
        options={"showHeader": True, "cellHeight": "sm"},
        transformations=[
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {"excludeByName": excluded, "renameByName": names | (renamed or {})},
            },
        ],
    )


def _colored() -> Json:
    return {"id": "custom.cellOptions", "value": {"type": "color-text"}}


def _linked(column: Column) -> Json:
    link = {"title": "Open", "url": column.link, "targetBlank": False}
    return {
        "matcher": {"id": "byName", "options": column.heading},
        "properties": [{"id": "links", "value": [link]}],
    }


def row(title: str) -> Json:
    """A heading over the panels that follow."""
    return {
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"w": 24, "h": 1},
        "panels": [],
    }


def placed(panels: list[Json]) -> list[Json]:
    """The panels with ids and places, from left to right and from top to bottom."""
    numbers = count(1)
    x = y = tallest = 0
    for item in panels:
        size = item["gridPos"]
        if x + size["w"] > 24:
            x, y, tallest = 0, y + tallest, 0
        item["id"] = next(numbers)
        item["gridPos"] = {"x": x, "y": y, **size}
        x, tallest = x + size["w"], max(tallest, size["h"])
    return panels


def variable(name: str, label: str, query: str, *, several: bool) -> Json:
    """A variable whose values come from a query."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2,
        "sort": 7,
        "multi": several,
        "includeAll": several,
        "options": [],
    } | ({"allValue": ".*"} if several else {})


def choice(name: str, label: str, *values: str) -> Json:
    """A variable with fixed values, the first being the default."""
    options = [{"text": value, "value": value, "selected": value == values[0]} for value in values]
    return {
        "name": name,
        "label": label,
        "type": "custom",
        "query": ",".join(values),
        "current": options[0],
        "options": options,
        "multi": False,
        "includeAll": False,
    }


def text_box(name: str, label: str, value: str) -> Json:
    """A variable that is typed in."""
    option = {"text": value, "value": value, "selected": True}
    return {
        "name": name,
        "label": label,
        "type": "textbox",
        "query": value,
        "current": option,
        "options": [option],
    }


INSTANCES = variable(
    "instance", "Machine", "label_values(gpudoctor_sampling_up, instance)", several=True
)
INSTANCE = variable(
    "instance", "Machine", "label_values(gpudoctor_sampling_up, instance)", several=False
)
IDLE = choice("idle", "Idle for", "1h", "15m", "6h", "24h")


def dashboard(uid: str, title: str, text: str, variables: list[Json], panels: list[Json]) -> Json:
    """A whole dashboard, in Grafana's schema 39."""
    source = {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "options": [],
        "refresh": 1,
        "multi": False,
        "includeAll": False,
    }
    xids: Json = {
        "name": "Xids",
        "enable": True,
        "iconColor": RED,
        "datasource": SOURCE,
        # The value is the time, in milliseconds: a first Xid changes no series, it only begins one.
        "expr": f"1000 * gpudoctor_gpu_xid_last_timestamp_seconds{HERE}",
        "useValueForTime": True,
        "titleFormat": "Xid {{xid}}",
        "textFormat": "{{instance}} {{uuid}}",
    }
    links: Json = {
        "type": "dashboards",
        "title": "gpudoctor",
        "tags": ["gpudoctor"],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "The other dashboards of gpudoctor",
        "url": "",
    }
    return {
        "uid": uid,
        "title": title,
        "description": text,
        "tags": ["gpudoctor"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [xids]},
        "links": [links],
        "templating": {"list": [source, *variables]},
        "panels": placed(panels),
    }
