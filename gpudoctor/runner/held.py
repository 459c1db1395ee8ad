"""How many bytes of tensors and arrays the script's own lists and dicts hold, without an autograd graph."""

from __future__ import annotations

from collections import deque
from typing import Any, Dict, Iterator, List, Optional, Tuple

_KINDS = (list, dict, deque)
_LEAST = 2
_LOOKED_AT = 16
_MOST = 1_000
Key = Tuple[str, str, int, str]


class Held:
    """Sizes of the script's containers after some steps: [step, entries, bytes]."""

    def __init__(self) -> None:
        self.seen: Dict[Key, List[List[int]]] = {}
        self._device: Dict[Key, str] = {}

    def measure(self, step: int, place: Tuple[str, str, int], name: str, value: Any) -> None:
        """Look at one variable of the script; what is no container of tensors or arrays is passed over."""
        if type(value) not in _KINDS or len(value) < _LEAST or getattr(value, "maxlen", None):
            return
        key = (*place, name)
        if key not in self.seen and len(self.seen) >= _MOST:
            return
        try:
            looked = [size for size in map(_bytes, _last(value)) if size is not None]
        except Exception:  # another thread changed it meanwhile, or a tensor has no size to tell
            return
        if not looked:
            return
        each = sum(size for size, _ in looked) / len(looked)
        self._device[key] = looked[-1][1]
        self.seen.setdefault(key, []).append([step, len(value), round(each * len(value))])

    def as_list(self) -> List[Dict[str, Any]]:
        """What was measured, one entry for each container that was seen more than once."""
        return [
            {
                "file": key[0],
                "function": key[1],
                "line": key[2],
                "name": key[3],
                "device": self._device[key],
                "sizes": sizes,
            }
            for key, sizes in self.seen.items()
            if len(sizes) > 1
        ]


def _last(value: Any) -> Iterator[Any]:
    parts = reversed(value.values()) if type(value) is dict else reversed(value)
    for _, part in zip(range(_LOOKED_AT), parts):
        yield part


def _bytes(part: Any) -> Optional[Tuple[int, str]]:
    """Bytes and device of a tensor or an array, or of those in a tuple, list or dict; None: it is neither."""
    if type(part) in (tuple, list, dict):
        inner = list(part.values() if type(part) is dict else part)[:_LOOKED_AT]
        found = [one for one in map(_own_bytes, inner) if one is not None]
        return (sum(size for size, _ in found), found[-1][1]) if found else None
    return _own_bytes(part)


def _own_bytes(part: Any) -> Optional[Tuple[int, str]]:
    kind = type(part).__module__.partition(".")[0]
    if kind not in ("torch", "numpy") or not isinstance(getattr(part, "nbytes", None), int):
        return None
    device = getattr(part, "device", None)
    return part.nbytes, str(getattr(device, "type", None) or "cpu")
