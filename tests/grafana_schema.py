"""What Grafana's own models (grafana-foundation-sdk) make of a dashboard: what they drop or change,
and which values are not of the kind that they declare.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

plugins.register_default_plugins()
# The models of an annotation know nothing of what is Prometheus' own; Grafana's data source reads it.
OF_PROMETHEUS = {"titleFormat", "textFormat", "useValueForTime"}


def problems(dashboard: dict[str, Any]) -> list[str]:
    """Where the dashboard is not as Grafana's models have it; empty when it is."""
    try:
        known = models.Dashboard.from_json(dashboard)
        again = json.loads(JSONEncoder().encode(known))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return [f"not understood: {type(error).__name__}: {error}"]
    return [*_changed(dashboard, again, ""), *_wrong(known, "")]


def _changed(ours: Any, theirs: Any, path: str) -> Iterator[str]:
    """What was lost or altered on the way; what was added are defaults."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name, value in ours.items():
            if name in theirs:
                yield from _changed(value, theirs[name], f"{path}/{name}")
            elif not (path.startswith("/annotations/") and name in OF_PROMETHEUS):
                yield f"{path}/{name}: unknown to Grafana"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for position, pair in enumerate(zip(ours, theirs, strict=True)):
            yield from _changed(*pair, f"{path}/{position}")
    elif ours != theirs:
        yield f"{path}: {ours!r} became {theirs!r}"


def _wrong(value: Any, path: str) -> Iterator[str]:
    """Attributes of the SDK's objects whose values are not of the declared type."""
    if isinstance(value, list):
        for position, one in enumerate(value):
            yield from _wrong(one, f"{path}/{position}")
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _wrong(one, f"{path}/{name}")
    elif type(value).__module__.startswith("grafana_foundation_sdk") and not isinstance(
        value, Enum
    ):
        for name, hint in typing.get_type_hints(type(value)).items():
            found = getattr(value, name, None)
            if found is not None and not _is(found, hint):
                yield f"{path}/{name}: {found!r} is no {hint}"
            yield from _wrong(found, f"{path}/{name}")


def _is(value: Any, hint: Any) -> bool:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_is(value, one) for one in inner)
    if origin is typing.Literal:
        return value in inner
    if origin is list:
        return isinstance(value, list) and all(_is(one, inner[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(_is(one, inner[1]) for one in value.values())
    if hint in (Any, object) or isinstance(hint, typing.TypeVar):
        return True
    return _is_a(value, hint)


def _is_a(value: Any, kind: Any) -> bool:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return value in {one.value for one in kind}
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if isinstance(value, dict) and hasattr(kind, "from_json"):  # some are left as they come
        return not list(_wrong(kind.from_json(value), ""))
    return not isinstance(kind, type) or isinstance(value, kind)
