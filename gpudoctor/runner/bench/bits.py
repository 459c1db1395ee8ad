"""Are two runs bitwise the same? Exact checksums of every layer, and the values of the last step."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import torch

_CHUNK = 1 << 22
_VIEWS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
Mark = Tuple[int, str, str, int]


def checksum(tensor: Any) -> int:
    """A sum over the bits, weighted by place. Whole numbers: the order of adding cannot matter."""
    flat = tensor.detach().contiguous().reshape(-1)
    if flat.is_complex():
        flat = torch.view_as_real(flat).reshape(-1)
    flat = flat.view(_VIEWS[flat.element_size()])
    total = 0
    for start in range(0, flat.numel(), _CHUNK):
        part = flat[start : start + _CHUNK].to(torch.int64)
        place = torch.arange(start, start + part.numel(), device=part.device)
        total += int((part * (place * 2654435761 + 1)).sum().item())
    return total & (2**64 - 1)


def train(subject: Any, steps: int) -> Tuple[List[Mark], Dict[str, Any]]:
    """Train so many steps; the checksum of each layer's output and gradient, and the last values."""
    marks: List[Mark] = []
    now = [0]

    def seen(name: str) -> Any:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):
                marks.append((now[0], "forward", name, checksum(output)))

        return hook

    leaves = [(n, m) for n, m in subject.model.named_modules() if not list(m.children())]
    handles = [module.register_forward_hook(seen(name)) for name, module in leaves]
    outputs = None
    for step in range(1, steps + 1):
        now[0] = step
        outputs = subject.step(subject.inputs, subject.target)
        # The backward pass goes from the last layer to the first.
        for name, parameter in reversed(list(subject.model.named_parameters())):
            if parameter.grad is not None:
                marks.append((step, "backward", name, checksum(parameter.grad)))
    for handle in handles:
        handle.remove()
    return marks, _values(subject, outputs)


def _values(subject: Any, outputs: Any) -> Dict[str, Any]:
    named = list(subject.model.named_parameters())
    tensors = outputs.values() if isinstance(outputs, dict) else outputs
    tensors = tensors if not isinstance(tensors, torch.Tensor) else [tensors]
    return {
        "outputs": [t.detach().cpu() for t in tensors if isinstance(t, torch.Tensor)],
        "gradients": [p.grad.detach().cpu() for _, p in named if p.grad is not None],
        "weights": [p.detach().cpu() for _, p in named],
    }


def largest_differences(one: Dict[str, Any], other: Dict[str, Any]) -> Dict[str, Optional[float]]:
    """By group, the largest absolute difference of any element; 0.0 only where all bits are the same."""
    result: Dict[str, Optional[float]] = {}
    for group, tensors in one.items():
        pairs = list(zip(tensors, other[group]))
        if all(checksum(a) == checksum(b) for a, b in pairs):
            result[group] = 0.0
            continue
        biggest = [float((a.double() - b.double()).abs().max()) for a, b in pairs if a.numel()]
        finite = [value for value in biggest if value == value]
        result[group] = max(finite) if len(finite) == len(biggest) else None
    return result
