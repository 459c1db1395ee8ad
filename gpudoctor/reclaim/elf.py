"""Finds the addresses of exported functions in another process, from its maps and its ELF files."""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_SHT_DYNSYM = 11
_PT_LOAD = 1
_IFUNC = 10
_MAP_LINE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) (\S{4}) ([0-9a-f]+) \S+ \d+ *(.*)$")


class NotElfError(Exception):
    """The file is no 64-bit ELF file of the wanted processor with dynamic symbols."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """The first mapping of a file: where it starts, and how the kernel names the range."""

    start: int
    range: str
    path: str


def mapped_files(maps: str) -> Iterator[Mapping]:
    """The files of /proc/PID/maps, each by the mapping of its beginning."""
    for line in maps.splitlines():
        found = _MAP_LINE.match(line)
        if found and found.group(5).startswith("/") and int(found.group(4), 16) == 0:
            start, end, path = found.group(1), found.group(2), found.group(5)
            yield Mapping(int(start, 16), f"{start}-{end}", path)


def addresses(
    root: Path, mapping: Mapping, names: Iterable[str], elf_machine: int
) -> dict[str, int]:
    """The addresses of those of `names` that the mapped file exports. `root` is /proc/PID.

    `elf_machine` is the processor's number in ELF files (e_machine).

    Raises:
        NotElfError: the file is of another kind.
        OSError: it cannot be read.
    """
    with _opened(root, mapping).open("rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        base = mapping.start - _first_load(data, elf_machine)
        return {name: base + value for name, value in _symbols(data, set(names))}
    finally:
        data.close()


def _opened(root: Path, mapping: Mapping) -> Path:
    """The file as the target sees it, also in another mount namespace or after it was replaced."""
    if mapping.path.endswith(" (deleted)"):
        return root / "map_files" / mapping.range
    return root / "root" / mapping.path.lstrip("/")


def _first_load(data: mmap.mmap, elf_machine: int) -> int:
    """The page at which the file's beginning would lie if it were loaded at its own addresses."""
    if data[:5] != b"\x7fELF\x02" or struct.unpack_from("<H", data, 18)[0] != elf_machine:
        raise NotElfError("not an ELF file of this processor")
    (offset,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for index in range(count):
        kind, _, file_offset, address = struct.unpack_from("<IIQQ", data, offset + index * size)
        if kind == _PT_LOAD:
            return int(address - file_offset) & ~0xFFF
    raise NotElfError("nothing in it is loaded")


def _symbols(data: mmap.mmap, names: set[str]) -> Iterator[tuple[str, int]]:
    table = next((one for one in _sections(data) if one.kind == _SHT_DYNSYM), None)
    if table is None:
        raise NotElfError("it exports nothing")
    strings = next(one for number, one in enumerate(_sections(data)) if number == table.link)
    text = data[strings.offset : strings.offset + strings.size]
    places = {place: name for name in names for place in _places(text, name)}
    entries = data[table.offset : table.offset + table.size // 24 * 24]
    for place, info, _, section, value, _ in struct.iter_unpack("<IBBHQQ", entries):
        if place in places and section != 0 and info & 0xF != _IFUNC:
            yield places[place], value


def _places(text: bytes, name: str) -> Iterator[int]:
    """Where `name` may stand in a string table, also as the tail of a longer one."""
    wanted = name.encode() + b"\0"
    place = text.find(wanted)
    while place >= 0:
        yield place
        place = text.find(wanted, place + 1)


@dataclass(frozen=True, slots=True)
class _Section:
    kind: int
    offset: int
    size: int
    link: int


def _sections(data: mmap.mmap) -> Iterator[_Section]:
    (offset,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    for index in range(count):
        _, kind, _, _, place, length, link = struct.unpack_from(
            "<IIQQQQI", data, offset + index * size
        )
        yield _Section(kind, place, length, link)
