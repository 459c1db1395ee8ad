"""What any torch since 2.0 runs: `every_torch.py inference`, or `every_torch.py fork|spawn|plain STEPS`."""

from __future__ import annotations

import sys
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Numbers(Dataset):
    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.full((3, 8, 8), float(index)), index % 4


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
        self.head = nn.Linear(8 * 6 * 6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        classes: torch.Tensor = self.head(self.body(x).flatten(1))
        return classes


def inference(net: Net) -> None:
    """No optimizer, no DataLoader: the calls of the outermost module are the steps."""
    until = time.monotonic() + 4.0
    calls = 0
    with torch.no_grad():
        while time.monotonic() < until or calls < 40:
            net(torch.ones(8, 3, 8, 8))
            calls += 1


def training(net: Net, workers: str, steps: int) -> float:
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    context = {"multiprocessing_context": workers, "num_workers": 2} if workers != "plain" else {}
    for inputs, target in DataLoader(Numbers(8 * steps), batch_size=8, **context):
        loss = nn.functional.cross_entropy(net(inputs), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if sys.argv[1] == "inference":
        inference(Net())
    else:
        print("trained", training(Net(), sys.argv[1], int(sys.argv[2])))
