"""A training loop that times itself: `train_steps.py small|conv STEPS` prints what one step took."""

import json
import statistics
import sys
import time

import torch
from torch import nn


def build(kind: str) -> "tuple[nn.Module, torch.Tensor]":
    """The model, a batch and its labels: many tiny operators, or few big ones."""
    if kind == "small":
        layers = [layer for _ in range(20) for layer in (nn.Linear(32, 32), nn.ReLU())]
        return nn.Sequential(*layers, nn.Linear(32, 10)), torch.randn(32, 32)
    model = nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
        *(nn.Flatten(), nn.Linear(64, 10)),
    )
    return model, torch.randn(32, 3, 32, 32)


def main(kind: str, steps: int) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model, batch = build(kind)
    labels = torch.randint(10, (len(batch),))
    optimizer = torch.optim.Adam(model.parameters())
    took = []
    begun, cpu_begun = time.perf_counter(), time.process_time()
    for _ in range(steps):
        before = time.perf_counter()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch), labels).backward()
        optimizer.step()
        took.append(time.perf_counter() - before)
    answer = {
        "loop_s": time.perf_counter() - begun,
        "loop_cpu_s": time.process_time() - cpu_begun,
        "step_median_s": statistics.median(took),
    }
    print("TIMES " + json.dumps(answer), file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
