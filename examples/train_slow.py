"""The classifier of train_classifier.py with two faults that many scripts have; what does gpudoctor say?

gpudoctor profile examples/train_slow.py
"""

import argparse
import random
import zlib

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

CLASSES = 10
SIZE = 64


class PackedPictures(Dataset):
    """Pictures that are unpacked and altered each time that they are asked for."""

    def __init__(self, length: int) -> None:
        noise = torch.Generator().manual_seed(0)
        self.labels = torch.randint(CLASSES, (length,), generator=noise)
        pictures = torch.randint(0, 200, (length, 3, SIZE, SIZE), generator=noise)
        for picture, label in zip(pictures, self.labels.tolist(), strict=True):
            picture[:, 6 * label : 6 * label + 6] += 55
        self.packed = [zlib.compress(bytes(picture.flatten().tolist())) for picture in pictures]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        values = list(zlib.decompress(self.packed[index]))
        picture = torch.tensor(values, dtype=torch.float32).reshape(3, SIZE, SIZE) / 255
        if random.random() < 0.5:
            picture = picture.flip(-1)
        return (picture - picture.mean()) / picture.std(), self.labels[index]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    torch.manual_seed(0)
    random.seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loader = DataLoader(PackedPictures(1024), batch_size=64, shuffle=True)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 15 * 15, CLASSES),
    ).to(device)
    optimizer = torch.optim.Adam(model.parameters())
    for epoch in range(options.epochs):
        total = 0.0
        for picture, label in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(picture.to(device)), label.to(device))
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / len(loader):.3f}")


if __name__ == "__main__":
    main()
