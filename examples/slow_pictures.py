"""A training run with a fault that is easy to make: its Dataset turns pixels to numbers one by one.

gpudoctor profile examples/slow_pictures.py           finds it
gpudoctor profile examples/slow_pictures.py --fixed   is what the same run is like without it
"""

import argparse
import zlib

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

SIZE, CLASSES = 32, 10


class Packed(Dataset):
    """Compressed grey pictures in memory, as a file format would have them."""

    def __init__(self, length: int, fixed: bool) -> None:
        noise = torch.Generator().manual_seed(0)
        pictures = torch.randint(256, (length, SIZE * SIZE), generator=noise, dtype=torch.uint8)
        self.packed = [zlib.compress(picture.numpy().tobytes()) for picture in pictures]
        self.fixed = fixed

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, index: int):
        raw = zlib.decompress(self.packed[index])
        if self.fixed:
            pixels = torch.frombuffer(bytearray(raw), dtype=torch.uint8) / 255.0
        else:
            pixels = torch.tensor([pixel / 255.0 for pixel in raw])
        return pixels.view(1, SIZE, SIZE), index % CLASSES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fixed", action="store_true")
    parser.add_argument("--samples", type=int, default=8192)
    options = parser.parse_args()
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.LazyLinear(CLASSES),
    )
    model(torch.zeros(1, 1, SIZE, SIZE))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for pictures, labels in DataLoader(Packed(options.samples, options.fixed), batch_size=64):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(pictures), labels)
        loss.backward()
        optimizer.step()
    print(f"loss {loss.item():.3f}")


if __name__ == "__main__":
    main()
