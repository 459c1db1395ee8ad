"""Metrics of what connects a GPU: PCIe, and NVLink as a whole and link by link."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gpudoctor.model.readings import NvLink
from gpudoctor.model.snapshot import Device
from gpudoctor.render.metrics.make import gpu, gpu_by, gpu_total
from gpudoctor.render.metrics.view import Metric, MetricGroup, Reading, Sample, View

_LINK = ("uuid", "link")


def _links(device: Device) -> Reading:
    total = device.nvlink.links_total
    return device.facts.nvlink_count if total is None else total


def _each_link(read: Callable[[NvLink], Reading]) -> Callable[[View], Iterator[Sample]]:
    def samples(view: View) -> Iterator[Sample]:
        # 18 links of 8 GPUs would be 432 series, so only where they were asked for.
        for device in view.answering() if view.link_rows else ():
            for one in device.nvlink.links:
                yield (device.uuid, str(one.link)), read(one)

    return samples


LINKS = MetricGroup(
    "PCIe and NVLink",
    (
        gpu(
            "pcie_generation",
            "PCIe generation of the link now; an idle GPU lowers it.",
            lambda it: it.pcie.generation,
        ),
        gpu("pcie_width", "PCIe lanes of the link now.", lambda it: it.pcie.width),
        gpu(
            "pcie_generation_max",
            "Highest PCIe generation that GPU and slot can do.",
            lambda it: it.facts.pcie_generation_max,
        ),
        gpu(
            "pcie_width_max",
            "Most PCIe lanes that GPU and slot can do.",
            lambda it: it.facts.pcie_width_max,
        ),
        gpu(
            "pcie_transmit_bytes_per_second",
            "Data that the GPU sends over PCIe.",
            lambda it: it.pcie.transmit_bytes_per_second,
        ),
        gpu(
            "pcie_receive_bytes_per_second",
            "Data that the GPU receives over PCIe.",
            lambda it: it.pcie.receive_bytes_per_second,
        ),
        gpu_total(
            "pcie_replays_total",
            "PCIe packets that were sent again.",
            lambda it: it.pcie.replays,
        ),
        gpu("nvlink_links", "NVLinks that the GPU has.", _links),
        gpu("nvlink_links_active", "NVLinks that are up.", lambda it: it.nvlink.links_active),
        gpu_total(
            "nvlink_transmit_bytes_total",
            "Data sent over all NVLinks.",
            lambda it: it.nvlink.transmit_bytes,
        ),
        gpu_total(
            "nvlink_receive_bytes_total",
            "Data received over all NVLinks.",
            lambda it: it.nvlink.receive_bytes,
        ),
        gpu_by(
            "nvlink_errors_total",
            "Errors of all NVLinks.",
            "error",
            {
                "replay": lambda it: it.nvlink.replay_errors,
                "recovery": lambda it: it.nvlink.recovery_errors,
                "crc": lambda it: it.nvlink.crc_errors,
            },
            "counter",
        ),
        Metric(
            "gpudoctor_gpu_nvlink_link_up",
            "gauge",
            "1 when this NVLink is up. Only with --nvlink-links.",
            _LINK,
            _each_link(lambda it: it.active),
        ),
        Metric(
            "gpudoctor_gpu_nvlink_link_transmit_bytes_total",
            "counter",
            "Data sent over this NVLink. Only with --nvlink-links.",
            _LINK,
            _each_link(lambda it: it.transmit_bytes),
        ),
        Metric(
            "gpudoctor_gpu_nvlink_link_receive_bytes_total",
            "counter",
            "Data received over this NVLink. Only with --nvlink-links.",
            _LINK,
            _each_link(lambda it: it.receive_bytes),
        ),
    ),
)
