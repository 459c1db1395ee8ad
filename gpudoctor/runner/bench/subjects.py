"""What a benchmark trains: a network of ours, or a function of the user's that makes one."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, Dict, List, Tuple

import torch
from torch.nn import functional

from .networks import NETWORKS


class Subject:
    """A model on its device, with batches that depend on the seed alone."""

    def __init__(self, options: Dict[str, Any]) -> None:
        self.device = torch.device(options["device"])
        self.options = options
        self.layout = torch.channels_last if options["channels_last"] else None
        torch.manual_seed(options["seed"])
        self.model, self.inputs, self.target = self._make()
        self.model.to(self.device)
        if self.layout is not None:
            self.model.to(memory_format=self.layout)
        self.model.train()
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        if not parameters:
            raise ValueError("the model has no parameter that can be trained")
        self.optimizer = torch.optim.SGD(parameters, lr=1e-3, momentum=0.9)

    def _make(self) -> Tuple[Any, List[Any], Any]:
        name = self.options["model"]
        network = NETWORKS.get(name)
        if network is not None:
            inputs, target = self.batch(self.size)
            return network.make(network.classes), inputs, target
        made = _call(name)
        if not isinstance(made, tuple) or len(made) != 2:
            raise TypeError(f"{name} must return (model, inputs), not {type(made).__name__}")
        model, inputs = made
        tensors = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
        return model, [self._placed(tensor) for tensor in tensors], None

    @property
    def size(self) -> int:
        """Length or side of the input; 0 for a model of the user's."""
        network = NETWORKS.get(self.options["model"])
        if network is None:
            return 0
        return int(self.options["size"] or network.sizes[self.device.type != "cuda"])

    @property
    def batch_size(self) -> int:
        """How many samples one step takes; 0 where the input of a model of the user's has no dimensions."""
        network = NETWORKS.get(self.options["model"])
        if network is None:
            return int(self.inputs[0].shape[0]) if self.inputs[0].dim() else 0
        return int(self.options["batch"] or network.batch[self.device.type != "cuda"])

    def batch(self, size: int) -> Tuple[List[Any], Any]:
        """A batch with inputs of that size."""
        network = NETWORKS[self.options["model"]]
        random = torch.Generator().manual_seed(self.options["seed"] + size)
        channels = 3 if network.sides == 2 else 1
        shape = (self.batch_size, channels, *[size] * network.sides)
        places = [size] * network.sides if self.options["model"] == "unet" else []
        target = torch.randint(network.classes, (self.batch_size, *places), generator=random)
        return [self._placed(torch.randn(shape, generator=random))], target.to(self.device)

    def _placed(self, tensor: Any) -> Any:
        tensor = tensor.to(self.device)
        if self.layout is not None and tensor.dim() == 4:
            tensor = tensor.contiguous(memory_format=self.layout)
        return tensor

    def step(self, inputs: List[Any], target: Any) -> Any:
        """One training step; the outputs."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, self._half(), enabled=self.options["amp"]):
            outputs = self.model(*inputs)
            loss = _loss(outputs, target)
        loss.backward()
        self.optimizer.step()
        return outputs

    def _half(self) -> Any:
        if self.device.type == "cuda" and not torch.cuda.is_bf16_supported():
            return torch.float16
        return torch.bfloat16


def _loss(outputs: Any, target: Any) -> Any:
    if target is not None:
        return functional.cross_entropy(outputs.float(), target)
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    tensors = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    floats = [t for t in tensors if isinstance(t, torch.Tensor) and t.requires_grad]
    return sum(tensor.float().pow(2).mean() for tensor in floats)


def _call(name: str) -> Any:
    module, _, function = name.partition(":")
    sys.path.insert(0, os.getcwd())
    return getattr(importlib.import_module(module), function)()
