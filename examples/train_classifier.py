"""Trains a small image classifier on made-up pictures; a first thing to try `gpudoctor profile` on.

gpudoctor profile examples/train_classifier.py --epochs 2
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

CLASSES = 10


class Shapes(Dataset):
    """Noisy pictures in which each class brightens a stripe of its own."""

    def __init__(self, length: int, size: int = 32) -> None:
        noise = torch.Generator().manual_seed(0)
        self.labels = torch.randint(CLASSES, (length,), generator=noise)
        self.pictures = torch.randn(length, 3, size, size, generator=noise)
        for picture, label in zip(self.pictures, self.labels.tolist(), strict=True):
            picture[:, 3 * label : 3 * label + 3] += 1.5

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        return self.pictures[index], self.labels[index]


def build_model() -> nn.Module:
    def block(channels_in: int, channels_out: int) -> nn.Sequential:
        convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        return nn.Sequential(convolution, nn.ReLU(), nn.MaxPool2d(2))

    return nn.Sequential(
        block(3, 32), block(32, 64), block(64, 64), nn.Flatten(), nn.Linear(64 * 16, CLASSES)
    )


def train(epochs: int, batch_size: int, workers: int) -> float:
    """Trains and returns the mean loss of the last epoch."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pictures = Shapes(2048)
    loader = DataLoader(
        pictures,
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        pin_memory=device == "cuda",
    )
    model = build_model().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    measure = nn.CrossEntropyLoss()
    mean = 0.0
    for epoch in range(epochs):
        total = torch.zeros((), device=device)
        for picture, label in loader:
            picture = picture.to(device, non_blocking=True)
            label = label.to(device, non_blocking=True)
            optimizer.zero_grad()
            loss = measure(model(picture), label)
            loss.backward()
            optimizer.step()
            total += loss.detach()
        mean = total.item() / len(loader)
        print(f"epoch {epoch + 1}: loss {mean:.3f}")
    return mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    train(options.epochs, options.batch_size, options.workers)


if __name__ == "__main__":
    main()
