"""Trains a small network in several processes, of which the last one has more to do than the others.

Run it with: gpudoctor profile --nproc-per-node 2 examples/train_ranks.py
"""

from __future__ import annotations

import argparse

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def augmented(pictures: torch.Tensor) -> torch.Tensor:
    """Shifts every picture by itself, which a loop in Python makes slow."""
    shifts = torch.randint(0, 4, (len(pictures),)).tolist()
    return torch.stack([p.roll(by, dims=1) for p, by in zip(pictures, shifts, strict=True)])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--even", action="store_true", help="give all ranks the same work")
    settings = parser.parse_args()
    dist.init_process_group("gloo")
    last = dist.get_rank() == dist.get_world_size() - 1
    network = nn.Sequential(nn.Flatten(), nn.Linear(1024, 256), nn.ReLU(), nn.Linear(256, 10))
    model = DistributedDataParallel(network)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(settings.steps):
        pictures = torch.randn(64, 32, 32)
        if last and not settings.even:
            for _ in range(8):
                pictures = augmented(pictures)
        loss = model(pictures).logsumexp(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
