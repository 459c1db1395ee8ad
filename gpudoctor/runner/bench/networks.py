"""Networks of standard shape, made of plain torch layers."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Tuple

import torch
from torch import nn
from torch.nn import functional


class _Bottleneck(nn.Module):  # type: ignore[misc]
    def __init__(self, inward: int, width: int, stride: int) -> None:
        super().__init__()
        outward = width * 4
        self.body = nn.Sequential(
            *_conv2d(inward, width, 1),
            nn.ReLU(inplace=True),
            *_conv2d(width, width, 3, stride),
            nn.ReLU(inplace=True),
            *_conv2d(width, outward, 1),
        )
        same = stride == 1 and inward == outward
        self.skip = nn.Identity() if same else nn.Sequential(*_conv2d(inward, outward, 1, stride))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Any) -> Any:
        return self.relu(self.body(x) + self.skip(x))


def _conv2d(inward: int, outward: int, size: int, stride: int = 1) -> Tuple[Any, Any]:
    conv = nn.Conv2d(inward, outward, size, stride, padding=size // 2, bias=False)
    return conv, nn.BatchNorm2d(outward)


def resnet50(classes: int = 1000) -> Any:
    """He and others, 2015, table 1, 50 layers; the stride is in the 3x3 convolution."""
    layers: List[Any] = [*_conv2d(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inward = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            layers.append(_Bottleneck(inward, width, stride if block == 0 else 1))
            inward = width * 4
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, classes))


def vgg16(classes: int = 1000) -> Any:
    """Simonyan and Zisserman, 2014, configuration D, with batch normalisation and without dropout."""
    layers: List[Any] = []
    inward = 3
    for outward, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            layers += [*_conv2d(inward, outward, 3), nn.ReLU(inplace=True)]
            inward = outward
        layers.append(nn.MaxPool2d(2))
    head = [nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU()]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(7), nn.Flatten(), *head, nn.Linear(4096, classes)
    )


class _ConvNextBlock(nn.Module):  # type: ignore[misc]
    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.wide = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 1e-6))

    def forward(self, x: Any) -> Any:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.scale * self.narrow(functional.gelu(self.wide(y)))
        return x + y.permute(0, 3, 1, 2)


def convnext_tiny(classes: int = 1000) -> Any:
    """Liu and others, 2022, the tiny one; GroupNorm(1) stands for the layer norm over channels."""
    layers: List[Any] = [nn.Conv2d(3, 96, 4, 4), nn.GroupNorm(1, 96)]
    inward = 96
    for width, blocks in ((96, 3), (192, 3), (384, 9), (768, 3)):
        if width != inward:
            layers += [nn.GroupNorm(1, inward), nn.Conv2d(inward, width, 2, 2)]
        layers += [_ConvNextBlock(width) for _ in range(blocks)]
        inward = width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(768), nn.Linear(768, classes)
    )


class _UNet(nn.Module):  # type: ignore[misc]
    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = (64, 128, 256, 512, 1024)
        inward = (3, *widths[:-1])
        self.down = nn.ModuleList(_twice(a, b) for a, b in zip(inward, widths))
        pairs = list(zip(widths[:0:-1], widths[-2::-1]))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in pairs)
        self.up = nn.ModuleList(_twice(a, b) for a, b in pairs)
        self.last = nn.Conv2d(widths[0], classes, 1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Any) -> Any:
        kept: List[Any] = []
        for level, block in enumerate(self.down):
            x = block(self.pool(x) if level else x)
            kept.append(x)
        kept.pop()
        for grow, block in zip(self.grow, self.up):
            x = block(torch.cat((kept.pop(), grow(x)), 1))
        return self.last(x)


def _twice(inward: int, outward: int) -> Any:
    first, second = _conv2d(inward, outward, 3), _conv2d(outward, outward, 3)
    return nn.Sequential(*first, nn.ReLU(inplace=True), *second, nn.ReLU(inplace=True))


def unet(classes: int = 21) -> Any:
    """Ronneberger and others, 2015, with padding and batch normalisation: one class for each pixel."""
    return _UNet(classes)


class _Dilated(nn.Module):  # type: ignore[misc]
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, 2 * width, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, x: Any) -> Any:
        return x + self.mix(functional.glu(self.conv(x), 1))


def conv1d(classes: int = 35) -> Any:
    """Dilated gated convolutions over a waveform, as in WaveNet (van den Oord and others, 2016)."""
    blocks = [_Dilated(128, 2**power) for _ in range(2) for power in range(9)]
    stem = [nn.Conv1d(1, 128, 16, 4, padding=6), nn.ReLU()]
    return nn.Sequential(
        *stem, *blocks, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(128, classes)
    )


class Network:
    """How to make a network and its batches. `sizes` is the input's length or side: CUDA, CPU."""

    def __init__(
        self, make: Callable[..., Any], classes: int, sides: int, batch: Tuple[int, int],
        sizes: Tuple[int, int],
    ) -> None:  # fmt: skip
        self.make = make
        self.classes = classes
        self.sides = sides
        self.batch = batch
        self.sizes = sizes


NETWORKS: Dict[str, Network] = {
    "resnet50": Network(resnet50, 1000, 2, (32, 2), (224, 64)),
    "unet": Network(unet, 21, 2, (8, 1), (256, 32)),
    "conv1d": Network(conv1d, 35, 1, (32, 2), (16000, 4000)),
    "vgg": Network(vgg16, 1000, 2, (32, 1), (224, 32)),
    "convnext": Network(convnext_tiny, 1000, 2, (32, 2), (224, 64)),
}
