"""The base of the values that are made by the thousand: frozen, typed, cheap to define and to make.

Defining a frozen dataclass costs about 0.5 ms at every start of the program and a struct 0.02 ms, which
for this package's values is the difference between a slow and a fast `gpudoctor ps`.
"""

from __future__ import annotations

import functools
from typing import Any, ClassVar

import msgspec


@functools.cache
def _fields_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    import dataclasses  # costs more than all the values; who calls this has imported it already

    made = dataclasses.make_dataclass(kind.__name__, kind.__struct_fields__)
    return {item.name: item for item in dataclasses.fields(made)}


class _Fields:
    """Answers as a dataclass does, so that `replace`, `fields` and `asdict` of the library work."""

    def __get__(self, value: object, kind: type[msgspec.Struct]) -> dict[str, Any]:
        return _fields_of(kind)


class Value(msgspec.Struct, frozen=True):
    """A frozen value. Subclasses name `frozen=True` again, because msgspec does not inherit it."""

    __dataclass_fields__: ClassVar[dict[str, Any]] = _Fields()  # type: ignore[assignment]
