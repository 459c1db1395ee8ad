"""Which row a module's call belongs to: by its name in the outermost module that called it."""

from __future__ import annotations

import weakref
from typing import Any, Dict, List, Optional, Set, Tuple

_MOST_ROWS = 20_000


class Row:
    """What is known of one module by name. Times in nanoseconds; parameters are its own, without
    those of the modules in it."""

    def __init__(self, number: int, root: str, name: str, kind: str) -> None:
        self.number, self.root, self.name, self.kind = number, root, name, kind
        self.calls = self.self_ns = self.total_ns = self.output_bytes = 0
        self.parameters: Optional[int] = None
        self.parameter_bytes: Optional[int] = None

    def as_dict(self) -> Dict[str, Any]:
        """The row of the modules file."""
        return {key: value for key, value in vars(self).items() if key != "number"}


class Names:
    """Rows by module. Modules are known by weak references: a strong one would keep their tensors."""

    def __init__(self) -> None:
        self.rows: List[Row] = []
        self._by_id: Dict[int, Tuple[Any, Row]] = {}
        self._by_name: Dict[Tuple[str, str, str], Row] = {}
        self._roots: Dict[str, Any] = {}
        self._weighed: Dict[str, Any] = {}

    def of(self, module: Any, caller: Optional[Row]) -> Row:
        """The row of a module that `caller` (None: nobody's module) is about to run."""
        known = self._by_id.get(id(module))
        if known is not None and known[0]() is module:
            return known[1]
        if caller is None:
            return self._root(module)
        # It is in no named place of the outermost module: made in a forward, or kept elsewhere.
        kind = type(module).__name__
        name = f"{caller.name}.<{kind}>" if caller.name else f"<{kind}>"
        self._learn_below(module, caller.root, name)
        return self._by_id[id(module)][1]

    def _root(self, module: Any) -> Row:
        kind, number = type(module).__name__, 1
        root = kind
        while root in self._roots and self._roots[root]() is not None:
            number += 1
            root = f"{kind} #{number}"
        self._roots[root] = weakref.ref(module)
        self._learn_below(module, root, "")
        return self._by_id[id(module)][1]

    def _learn_below(self, module: Any, root: str, prefix: str) -> None:
        for name, one in module.named_modules(prefix=prefix):
            row = self._row(root, name, type(one).__name__)
            self._by_id[id(one)] = (weakref.ref(one), row)

    def _row(self, root: str, name: str, kind: str) -> Row:
        key = (root, name, kind)
        if key not in self._by_name and len(self.rows) >= _MOST_ROWS:
            key = ("…", "", "")
        row = self._by_name.get(key)
        if row is None:
            row = self._by_name[key] = Row(len(self.rows), *key)
            self.rows.append(row)
        return row

    def weigh(self, root: Any, row: Row) -> None:
        """Count the parameters of an outermost module that has run; each once, though it be shared."""
        known = self._weighed.get(row.root)
        if row.name or (known is not None and known() is root):
            return
        self._weighed[row.root] = weakref.ref(root)
        seen: Set[int] = set()
        for module in root.modules():
            mine = self._by_id.get(id(module))
            if mine is not None:
                # A lazy module has become another class by now.
                mine[1].kind = type(module).__name__
                _weigh(module, mine[1], seen)


def _weigh(module: Any, row: Row, seen: Set[int]) -> None:
    row.parameters = row.parameter_bytes = 0
    for tensor in module._parameters.values():
        if tensor is not None and id(tensor) not in seen:
            seen.add(id(tensor))
            row.parameters += int(tensor.numel())
            row.parameter_bytes += int(tensor.numel() * tensor.element_size())
