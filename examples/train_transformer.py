"""Trains a small transformer to copy sequences; most of its time is honest arithmetic.

gpudoctor profile examples/train_transformer.py --steps 60
"""

import argparse

import torch
from torch import nn

SYMBOLS, LENGTH = 64, 48


class Copier(nn.Module):
    """Tokens in, the same tokens out."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(SYMBOLS, width)
        self.places = nn.Parameter(torch.randn(LENGTH, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, layers)
        self.out = nn.Linear(width, SYMBOLS)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.out(self.layers(self.tokens(tokens) + self.places))


def train(steps: int, batch_size: int, width: int, layers: int) -> float:
    """Trains and returns the last loss."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Copier(width, layers).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    measure = nn.CrossEntropyLoss()
    last = torch.zeros(())
    for step in range(steps):
        tokens = torch.randint(SYMBOLS, (batch_size, LENGTH), device=device)
        loss = measure(model(tokens).flatten(0, 1), tokens.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        last = loss.detach()
        if step % 20 == 0:
            print(f"step {step}: loss {last.item():.3f}")
    return last.item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    options = parser.parse_args()
    print(f"loss {train(options.steps, options.batch_size, options.width, options.layers):.3f}")


if __name__ == "__main__":
    main()
