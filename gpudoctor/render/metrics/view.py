"""What a metric is, and what it is computed from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from gpudoctor.model.check import CheckReport
from gpudoctor.model.environment import InstalledTorch
from gpudoctor.model.orphan import Orphan
from gpudoctor.model.owner import Owner
from gpudoctor.model.snapshot import CollectorOutcome, Device, DeviceState, Snapshot

Reading = float | int | bool | None
# The values of a metric's labels, in their order, and the reading.
Sample = tuple[tuple[str, ...], Reading]
Kind = Literal["gauge", "counter", "info"]


@dataclass(frozen=True, slots=True)
class XidTotal:
    """How often one Xid was reported for one GPU, and when last (seconds since the epoch)."""

    count: int
    last_at: float


@dataclass(frozen=True, slots=True)
class Totals:
    """What only grows while the process lives, and so is in no single snapshot.

    Xids by (uuid, code), failures of collectors by (uuid, collector).
    """

    samples: int = 0
    xids: Mapping[tuple[str, int], XidTotal] = field(default_factory=dict)
    collector_errors: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OwnCost:
    """What the daemon itself costs, as of the last sample. CPU time in seconds, memory in bytes.

    `unrecorded` counts what the flight recorder could not write; None where there is none.
    `notified` has what was told to webhooks and commands, by (target, outcome), `reclaimed` what the
    reclaim policy did, by (mode, result).
    """

    cpu_seconds: float | None = None
    resident_bytes: int | None = None
    open_files: int | None = None
    started_at: float | None = None
    unrecorded: int | None = None
    notified: Mapping[tuple[str, str], int] = field(default_factory=dict)
    reclaimed: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the checks and the judge of processes found, at `at` (seconds since the epoch).

    `installed` is the torch of the default environment, where it was looked for.
    """

    at: float
    duration_seconds: float
    orphans: tuple[Orphan, ...]
    report: CheckReport
    installed: InstalledTorch | None = None


@dataclass(frozen=True, slots=True)
class View:
    """All that the metrics are computed from.

    `fresh` is False when sampling itself has stopped. `process_rows` is how many processes may have
    series of their own: a pid is a label that never comes back, so there are none unless asked for.
    `link_rows` asks for series of each NVLink.
    `owners` has the jobs, pods and containers of the processes by pid, as far as they are known.
    """

    snapshot: Snapshot | None = None
    fresh: bool = False
    totals: Totals = field(default_factory=Totals)
    own: OwnCost = field(default_factory=OwnCost)
    interval_seconds: float | None = None
    process_rows: int = 0
    inspection: Inspection | None = None
    owners: Mapping[int, Owner] = field(default_factory=dict)
    link_rows: bool = False

    @property
    def devices(self) -> tuple[Device, ...]:
        """Every GPU that was ever seen since the driver was loaded, whether it answers or not."""
        return self.snapshot.devices if self.snapshot else ()

    @property
    def outcomes(self) -> tuple[CollectorOutcome, ...]:
        """How the last runs of the collectors went."""
        return self.snapshot.collectors if self.snapshot else ()

    def answering(self) -> tuple[Device, ...]:
        """The GPUs whose readings are of now; a reading of any other would be a lie."""
        return tuple(device for device in self.devices if self.is_up(device))

    def is_up(self, device: Device) -> bool:
        """True when the GPU answered the last sample, even if single collectors failed."""
        if not self.fresh or device.state in (DeviceState.STALE, DeviceState.LOST):
            return False
        # Memory is read with every sample and by every driver: a GPU that gives it, answers.
        return device.state is DeviceState.OK or device.memory.used_bytes is not None


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family. `read` gives its samples; a sample whose reading is None is left out."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    read: Callable[[View], Iterable[Sample]]


@dataclass(frozen=True, slots=True)
class MetricGroup:
    """Metrics that are told of together in the reference."""

    title: str
    metrics: tuple[Metric, ...]
