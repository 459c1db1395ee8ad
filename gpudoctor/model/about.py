"""What a bug report needs to say of the program itself: versions, the driver's library, files."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder that gpudoctor uses, whether or not it is there."""

    what: str
    path: str
    exists: bool


@dataclass(frozen=True, slots=True)
class DriverLibrary:
    """The driver as NVML answers: versions, and the file that the loader took.

    `error` says why it could not be asked; then the versions are None.
    """

    path: str | None = None
    driver_version: str | None = None
    nvml_version: str | None = None
    cuda_version: tuple[int, int] | None = None
    gpus: int | None = None
    error: str | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class About:
    """gpudoctor, what it runs on and what it runs with.

    A version in `dependencies` is None where the package is not installed. `listen` is where
    `gpudoctor serve` listens by the settings; None where they cannot be read.
    """

    version: str
    package: str
    python: str
    executable: str
    machine: str
    kernel: str | None = None
    os: str | None = None
    libc: str | None = None
    container: str | None = None
    dependencies: dict[str, str | None] = field(default_factory=dict)
    driver: DriverLibrary = field(default_factory=DriverLibrary)
    places: tuple[Place, ...] = ()
    listen: str | None = None
    settings_error: str | None = None
