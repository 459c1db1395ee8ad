"""Short forms for the commonest kinds of metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from gpudoctor.model.snapshot import Device
from gpudoctor.render.metrics.view import Kind, Metric, Reading, Sample, View

Read = Callable[[Device], Reading]


def gpu(name: str, text: str, read: Read, kind: Kind = "gauge") -> Metric:
    """One reading of each GPU that answers."""

    def samples(view: View) -> Iterator[Sample]:
        for device in view.answering():
            yield (device.uuid,), read(device)

    return Metric(f"gpudoctor_gpu_{name}", kind, text, ("uuid",), samples)


def gpu_total(name: str, text: str, read: Read) -> Metric:
    """One ever growing reading of each GPU that answers."""
    return gpu(name, text, read, "counter")


def gpu_by(
    name: str, text: str, label: str, reads: Mapping[str, Read], kind: Kind = "gauge"
) -> Metric:
    """Several readings of one sort of each GPU that answers, told apart by `label`."""

    def samples(view: View) -> Iterator[Sample]:
        for device in view.answering():
            for value, read in reads.items():
                yield (device.uuid, value), read(device)

    return Metric(f"gpudoctor_gpu_{name}", kind, text, ("uuid", label), samples)


def single(
    name: str, text: str, read: Callable[[View], Reading], kind: Kind = "gauge", prefix: str = ""
) -> Metric:
    """One reading of the machine or of the daemon."""

    def samples(view: View) -> Iterator[Sample]:
        yield (), read(view)

    return Metric(f"{prefix or 'gpudoctor_'}{name}", kind, text, (), samples)
