"""What every reader of foreign input owes: a value, or the one error that a user understands."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from gpudoctor.errors import GpuDoctorError

# Shrinking may take minutes; the example that failed first says enough.
PHASES = (Phase.explicit, Phase.generate)
SLOW = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)


# `make fuzz` looks for longer.
TIMES = int(os.environ.get("GPUDOCTOR_FUZZ_TIMES", "1"))


def fuzz(examples: int):
    return settings(
        deadline=None,
        max_examples=examples * TIMES,
        suppress_health_check=SLOW,
        database=None,
        phases=PHASES,
    )


def settled(call: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """The value, or None after a GpuDoctorError."""
    try:
        return call(*arguments, **more)
    except GpuDoctorError as error:
        assert error.block().startswith("error: ")
        return None


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63, 2**64 - 1, -(2**64), 10**400])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return opening * depth + closing * depth


def altered(body: Any):
    """`body`, plain dicts and lists, with a few of its values replaced, whatever they were."""

    def apply(changes: list[tuple[int, Any]]) -> Any:
        mine = copy.deepcopy(body)
        for number, value in changes:
            places = list(_places(mine))
            if places:
                holder, key = places[number % len(places)]
                holder[key] = value
        return mine

    odd = st.sampled_from(
        [0, -1, 1, 7, 1e300, -1e300, 2**62, "", "/dev/zero", "\x1b]0;x\x07<script>"]
    )
    return st.builds(
        apply, st.lists(st.tuples(st.integers(0, 10_000), odd | json_values), max_size=4)
    )


def _places(body: Any) -> Iterator[tuple[Any, Any]]:
    keys = body.keys() if isinstance(body, dict) else range(len(body))
    for key in list(keys):
        yield body, key
        if isinstance(body[key], dict | list):
            yield from _places(body[key])


def mangled(data: bytes):
    """`data` with a few bytes replaced, and perhaps cut off."""
    place = st.integers(0, max(0, len(data) - 1))

    def apply(changes: list[tuple[int, int]], end: int) -> bytes:
        mine = bytearray(data)
        for where, value in changes:
            mine[where] = value
        return bytes(mine[:end] if end else mine)

    changes = st.lists(st.tuples(place, st.integers(0, 255)), max_size=6)
    return st.builds(apply, changes, st.just(0) | place)
