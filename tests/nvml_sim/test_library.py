"""The real nvidia-ml-py on the simulated library: what it serves, and how it fails on demand."""

from __future__ import annotations

import threading
import time

import pynvml
import pytest

from tests.nvml_sim.build import function_names
from tests.nvml_sim.machine import SimProcess, error, ramp, wave
from tests.nvml_sim.opened import handle
from tests.nvml_sim.presets import FIRST_PID, GIB, MIB


def fails_with(code: int):
    return pytest.raises(pynvml.NVMLError_Unknown if code == 999 else _class_of(code))


def _class_of(code: int) -> type[pynvml.NVMLError]:
    return pynvml.NVMLError._valClassMapping[code]


def test_every_function_that_the_binding_can_look_up_exists(opened):
    found = {name for name in function_names() if hasattr(pynvml.nvmlLib, name)}
    assert len(found) > 400
    assert found == function_names()


def test_the_driver_tells_its_versions(opened):
    assert pynvml.nvmlSystemGetDriverVersion() == "580.95.05"
    assert pynvml.nvmlSystemGetNVMLVersion() == "13.580.95.05"
    assert pynvml.nvmlSystemGetCudaDriverVersion() == 13000
    assert pynvml.nvmlSystemGetCudaDriverVersion_v2() == 13000
    assert pynvml.nvmlErrorString(15) == "GPU is lost"


def test_a_device_is_found_by_index_uuid_serial_and_bus_id(opened):
    gpu = opened.machine.gpus[3]
    by_index = handle(3)
    for other in (
        pynvml.nvmlDeviceGetHandleByUUID(gpu.uuid),
        pynvml.nvmlDeviceGetHandleBySerial(gpu["serial"]),
        pynvml.nvmlDeviceGetHandleByPciBusId(gpu["pci.bus_id"]),
        pynvml.nvmlDeviceGetHandleByPciBusId("0000:5d:00.0"),
    ):
        assert pynvml.nvmlDeviceGetIndex(other) == 3
    assert pynvml.nvmlDeviceGetCount() == 8
    assert pynvml.nvmlDeviceGetUUID(by_index) == gpu.uuid
    with fails_with(pynvml.NVML_ERROR_INVALID_ARGUMENT):
        handle(8)
    with fails_with(pynvml.NVML_ERROR_NOT_FOUND):
        pynvml.nvmlDeviceGetHandleByUUID("GPU-none")


def test_a_device_tells_who_it_is(opened):
    gpu = handle(1)
    assert pynvml.nvmlDeviceGetName(gpu) == "NVIDIA H100 80GB HBM3"
    assert pynvml.nvmlDeviceGetSerial(gpu) == "1653523001001"
    assert pynvml.nvmlDeviceGetVbiosVersion(gpu) == "96.00.99.00.01"
    assert pynvml.nvmlDeviceGetMinorNumber(gpu) == 1
    assert pynvml.nvmlDeviceGetBrand(gpu) == pynvml.NVML_BRAND_NVIDIA
    assert pynvml.nvmlDeviceGetArchitecture(gpu) == pynvml.NVML_DEVICE_ARCH_HOPPER
    assert pynvml.nvmlDeviceGetCudaComputeCapability(gpu) == (9, 0)
    assert pynvml.nvmlDeviceGetNumGpuCores(gpu) == 16896
    assert pynvml.nvmlDeviceGetMemoryBusWidth(gpu) == 5120
    assert pynvml.nvmlDeviceGetPersistenceMode(gpu) == 1
    assert pynvml.nvmlDeviceGetComputeMode(gpu) == 0
    assert pynvml.nvmlDeviceGetAttributes(gpu).multiprocessorCount == 132


def test_the_pci_address_is_whole_in_both_forms(opened):
    info = pynvml.nvmlDeviceGetPciInfo(handle(2))
    assert (info.domain, info.bus, info.device) == (0, 0x4C, 0)
    assert info.busId == "00000000:4C:00.0"
    assert info.busIdLegacy == "0000:4C:00.0"
    assert info.pciDeviceId == 0x233010DE
    extended = pynvml.nvmlPciInfoExt_v1_t()
    extended.version = pynvml.nvmlPciInfoExt_v1
    pynvml.nvmlDeviceGetPciInfoExt(handle(2), pynvml.byref(extended))
    assert (extended.bus, extended.baseClass) == (0x4C, 3)


def test_the_older_memory_structure_counts_the_drivers_share_as_used(opened):
    opened.machine.gpus[0].memory_used = 10 * GIB
    opened.save()
    old = pynvml.nvmlDeviceGetMemoryInfo(handle())
    new = pynvml.nvmlDeviceGetMemoryInfo(handle(), version=pynvml.nvmlMemory_v2)
    assert (new.used, new.reserved, new.total) == (10 * GIB, 551 * MIB, 81559 * MIB)
    assert old.used == new.used + new.reserved
    assert old.free == new.free == new.total - new.used - new.reserved
    bar1 = pynvml.nvmlDeviceGetBAR1MemoryInfo(handle())
    assert (bar1.bar1Total, bar1.bar1Used) == (128 * GIB, 4 * MIB)


def test_a_structure_of_an_unknown_version_is_refused(opened):
    memory = pynvml.c_nvmlMemory_v2_t()
    memory.version = 0x03000028
    code = pynvml.nvmlLib.nvmlDeviceGetMemoryInfo_v2(handle(), pynvml.byref(memory))
    assert code == pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH


def test_sensors_show_what_the_state_says(opened):
    opened.machine.gpus[0].update(
        {"utilization.gpu": 93, "utilization.memory": 41, "utilization.encoder": 7,
         "power.usage_mw": 512_345, "temperature.gpu": 71, "temperature.memory": 83}
    )  # fmt: skip
    opened.save()
    gpu = handle()
    rates = pynvml.nvmlDeviceGetUtilizationRates(gpu)
    assert (rates.gpu, rates.memory) == (93, 41)
    assert pynvml.nvmlDeviceGetEncoderUtilization(gpu)[0] == 7
    assert pynvml.nvmlDeviceGetPowerUsage(gpu) == 512_345
    assert pynvml.nvmlDeviceGetEnforcedPowerLimit(gpu) == 700_000
    assert pynvml.nvmlDeviceGetPowerManagementLimitConstraints(gpu) == [200_000, 700_000]
    assert pynvml.nvmlDeviceGetTemperature(gpu, 0) == 71
    assert pynvml.nvmlDeviceGetTemperatureV(gpu, 0) == 71
    assert pynvml.nvmlDeviceGetMarginTemperature(gpu) == 57
    thresholds = [pynvml.nvmlDeviceGetTemperatureThreshold(gpu, kind) for kind in range(4)]
    assert thresholds == [92, 89, 95, 87]
    assert pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) >= 1_000_000


def test_a_reading_that_a_card_lacks_is_not_supported(opened):
    opened.machine.gpus[0].power_mw = None
    opened.machine.gpus[0].temperature = error(999)
    opened.save()
    with fails_with(pynvml.NVML_ERROR_NOT_SUPPORTED):
        pynvml.nvmlDeviceGetPowerUsage(handle())
    with fails_with(999):
        pynvml.nvmlDeviceGetTemperature(handle(), 0)
    with fails_with(pynvml.NVML_ERROR_NOT_SUPPORTED):
        pynvml.nvmlDeviceGetFanSpeed(handle())
    with fails_with(pynvml.NVML_ERROR_NOT_SUPPORTED):
        pynvml.nvmlDeviceGetPlatformInfo(handle(), pynvml.byref(pynvml.c_nvmlPlatformInfo_v2_t()))


def test_ramps_grow_and_waves_come_back(opened):
    opened.machine.gpus[0]["energy_mj"] = ramp(5_000_000_000, 1_000_000)
    opened.machine.gpus[0].utilization = wave(20, 80, 0.2)
    opened.save()
    gpu, seen = handle(), []
    first = pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
    for _ in range(40):
        seen.append(pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu)
        time.sleep(0.01)
    assert pynvml.nvmlDeviceGetTotalEnergyConsumption(gpu) - first > 200_000
    assert min(seen) >= 20
    assert max(seen) <= 80
    assert max(seen) - min(seen) > 40


def test_clocks_links_and_their_reasons(opened):
    opened.machine.gpus[0].update({"clock.sm": 1755, "clock.reasons": 0x44, "pcie.width": 8})
    opened.save()
    gpu = handle()
    assert pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM) == 1755
    assert pynvml.nvmlDeviceGetMaxClockInfo(gpu, pynvml.NVML_CLOCK_MEM) == 2619
    assert pynvml.nvmlDeviceGetCurrentClocksEventReasons(gpu) == 0x44
    assert pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu) == 0x44
    assert pynvml.nvmlDeviceGetPerformanceState(gpu) == 0
    assert pynvml.nvmlDeviceGetCurrPcieLinkWidth(gpu) == 8
    assert pynvml.nvmlDeviceGetMaxPcieLinkWidth(gpu) == 16
    assert pynvml.nvmlDeviceGetCurrPcieLinkGeneration(gpu) == 5
    assert pynvml.nvmlDeviceGetPcieThroughput(gpu, 0) == 1200
    assert pynvml.nvmlDeviceGetPcieThroughput(gpu, 1) == 3400
    assert pynvml.nvmlDeviceGetPcieReplayCounter(gpu) == 0


def test_nvlink_answers_per_link(opened):
    opened.machine.gpus[0].update({"nvlink.3.state": 0, "nvlink.5.replay": 17})
    opened.machine.gpus[0]["nvlink.5.remote"] = "00000000:C6:00.0"
    opened.save()
    gpu = handle()
    assert [pynvml.nvmlDeviceGetNvLinkState(gpu, link) for link in (2, 3)] == [1, 0]
    assert pynvml.nvmlDeviceGetNvLinkVersion(gpu, 0) == 4
    assert pynvml.nvmlDeviceGetNvLinkErrorCounter(gpu, 5, 0) == 17
    assert pynvml.nvmlDeviceGetNvLinkErrorCounter(gpu, 4, 0) == 0
    assert pynvml.nvmlDeviceGetNvLinkRemotePciInfo(gpu, 5).bus == 0xC6
    with fails_with(pynvml.NVML_ERROR_NOT_SUPPORTED):
        pynvml.nvmlDeviceGetNvLinkState(gpu, 18)


def test_field_values_come_with_their_type_and_their_own_error(opened):
    opened.machine.gpus[0].update(
        {"temperature.memory": 77, "nvlink.tx_kib": 10, "nvlink.2.tx_kib": 500,
         "recovery_action": 2, "temperature.slowdown_tlimit": -2, "field.186.1": 812_000}
    )  # fmt: skip
    opened.save()
    wanted = [82, 83, (138, 2), (138, 0xFFFFFFFF), 230, 999, 194, (186, 0), (186, 1)]
    values = pynvml.nvmlDeviceGetFieldValues(handle(), wanted)
    assert [value.nvmlReturn for value in values] == [0, 0, 0, 0, 0, 3, 0, 0, 0]
    assert [value.valueType for value in values][:4] == [1, 3, 3, 3]
    assert values[0].value.uiVal == 77
    assert values[1].value.ullVal >= 1_000_000
    assert values[2].value.ullVal == 500
    assert values[3].value.ullVal == 500 + 17 * 10
    assert values[4].value.uiVal == 2
    assert (values[6].valueType, values[6].value.siVal) == (5, -2)
    assert (values[7].value.uiVal, values[8].value.uiVal) == (70_000, 812_000)


def test_health_is_read_in_every_form(opened):
    opened.machine.gpus[0].update(
        {"ecc.corrected.volatile": 9, "ecc.uncorrected.aggregate": 2, "rows.pending": 1,
         "ecc.uncorrected.aggregate.sram": 2, "rows.corrected": 4, "fabric.state": 2}
    )  # fmt: skip
    opened.save()
    gpu = handle()
    assert pynvml.nvmlDeviceGetEccMode(gpu) == [1, 1]
    assert pynvml.nvmlDeviceGetTotalEccErrors(gpu, 0, 0) == 9
    assert pynvml.nvmlDeviceGetTotalEccErrors(gpu, 1, 1) == 2
    assert pynvml.nvmlDeviceGetMemoryErrorCounter(gpu, 1, 1, pynvml.NVML_MEMORY_LOCATION_SRAM) == 2
    assert pynvml.nvmlDeviceGetRemappedRows(gpu) == (4, 0, 1, 0)
    assert pynvml.nvmlDeviceGetRowRemapperHistogram(gpu).max == 640
    fabric = pynvml.c_nvmlGpuFabricInfo_v2_t()
    pynvml.nvmlDeviceGetGpuFabricInfoV(gpu, pynvml.byref(fabric))
    assert fabric.state == pynvml.NVML_GPU_FABRIC_STATE_IN_PROGRESS
    with fails_with(pynvml.NVML_ERROR_NOT_SUPPORTED):
        pynvml.nvmlDeviceGetRetiredPagesPendingStatus(gpu)


def test_versioned_structures_have_the_sizes_of_the_binding(opened):
    """Each carries its size in its version; the library refuses any other."""
    names = ("aggregate_parity", "aggregate_secded", "aggregate_corrected", "volatile_parity",
             "volatile_secded", "volatile_corrected", "aggregate_l2", "aggregate_sm",
             "aggregate_pcie", "aggregate_mcu", "aggregate_other", "threshold_exceeded")  # fmt: skip
    gpu = opened.machine.gpus[0]
    gpu.update({f"ecc.sram.{name}": number for number, name in enumerate(names, 1)})
    gpu.update({"fabric.health_summary": 3, "fan.count": 1, "fan.rpm": 900})
    gpu.processes = [SimProcess(7, GIB)]
    opened.save()
    sram, fabric = pynvml.c_nvmlEccSramErrorStatus_v1_t(), pynvml.c_nvmlGpuFabricInfo_v3_t()
    pynvml.nvmlDeviceGetSramEccErrorStatus(handle(), pynvml.byref(sram))
    assert [getattr(sram, field[0]) for field in sram._fields_[1:]] == list(range(1, 13))
    pynvml.nvmlDeviceGetGpuFabricInfoV(handle(), pynvml.byref(fabric))
    assert (fabric.state, fabric.healthSummary) == (3, 3)
    assert pynvml.nvmlDeviceGetFanSpeedRPM(handle()) == 900
    (row,) = pynvml.nvmlDeviceGetRunningProcessDetailList(
        handle(), pynvml.nvmlProcessDetailList_v1, 0
    )
    assert (row.pid, row.usedGpuMemory) == (7, GIB)


def test_processes_come_with_their_memory(opened):
    gpu = opened.machine.gpus[5]
    gpu.processes = [
        SimProcess(101, 3 * GIB),
        SimProcess(102, None),
        SimProcess(103, 7, "graphics"),
    ]
    opened.save()
    rows = pynvml.nvmlDeviceGetComputeRunningProcesses(handle(5))
    assert [(row.pid, row.usedGpuMemory) for row in rows] == [(101, 3 * GIB), (102, None)]
    assert [row.pid for row in pynvml.nvmlDeviceGetGraphicsRunningProcesses(handle(5))] == [103]
    assert pynvml.nvmlDeviceGetMPSComputeRunningProcesses(handle(5)) == []
    second = pynvml.nvmlDeviceGetComputeRunningProcesses_v2(handle(5))
    assert [row.pid for row in second] == [101, 102]


def test_what_processes_do_is_sampled_once(opened):
    samples = pynvml.nvmlDeviceGetProcessUtilization(handle(), 0)
    assert [(sample.pid, sample.smUtil, sample.memUtil) for sample in samples] == [
        (FIRST_PID, 20, 10),
        (FIRST_PID + 8, 28, 14),
    ]
    newer = pynvml.nvmlDeviceGetProcessesUtilizationInfo(handle(), 0)
    assert [sample.smUtil for sample in newer] == [20, 28]
    with fails_with(pynvml.NVML_ERROR_NOT_FOUND):
        pynvml.nvmlDeviceGetProcessUtilization(handle(), int((time.time() + 1) * 1e6))


def test_accounting_remembers_the_dead(opened):
    gpu = opened.machine.gpus[0]
    gpu["accounting.mode"] = 1
    gpu.accounts.append("77 gpu=50 mem=10 max=1073741824 time=5000 running=0")
    opened.save()
    assert pynvml.nvmlDeviceGetAccountingPids(handle()) == [77]
    stats = pynvml.nvmlDeviceGetAccountingStats(handle(), 77)
    assert (stats.gpuUtilization, stats.maxMemoryUsage, stats.isRunning) == (50, GIB, 0)


def test_samples_of_the_last_seconds_are_in_order(opened):
    kind, samples = pynvml.nvmlDeviceGetSamples(handle(), pynvml.NVML_TOTAL_POWER_SAMPLES, 0)
    assert kind == pynvml.NVML_VALUE_TYPE_UNSIGNED_INT
    times = [sample.timeStamp for sample in samples]
    assert times == sorted(times)
    assert {sample.sampleValue.uiVal for sample in samples} == {70_000}


def test_topology_follows_numa_nodes_until_told_otherwise(opened):
    assert pynvml.nvmlDeviceGetTopologyCommonAncestor(handle(0), handle(1)) == 40
    assert pynvml.nvmlDeviceGetTopologyCommonAncestor(handle(0), handle(7)) == 50
    opened.machine.gpus[0]["topology.1"] = pynvml.NVML_TOPOLOGY_SINGLE
    opened.save()
    assert pynvml.nvmlDeviceGetTopologyCommonAncestor(handle(0), handle(1)) == 10
    assert list(pynvml.nvmlDeviceGetCpuAffinity(handle(7), 2)) == [0xFFFFFFFF00000000, 0]


def test_writing_is_forbidden(opened):
    with fails_with(pynvml.NVML_ERROR_NO_PERMISSION):
        pynvml.nvmlDeviceSetPersistenceMode(handle(), 0)
    with fails_with(pynvml.NVML_ERROR_NO_PERMISSION):
        pynvml.nvmlDeviceClearEccErrorCounts(handle(), 0)


def test_calls_are_counted(opened):
    for _ in range(3):
        pynvml.nvmlDeviceGetPowerUsage(handle())
    assert opened.calls("nvmlDeviceGetPowerUsage") == 3
    assert opened.calls("nvmlDeviceGetFanSpeed") == 0


def test_a_change_of_the_state_is_seen_at_the_next_call(opened):
    gpu = handle(3)
    for degrees in range(40, 60):
        opened.machine.gpus[3].temperature = degrees
        opened.save()
        assert pynvml.nvmlDeviceGetTemperature(gpu, 0) == degrees


def test_reading_while_the_state_changes_never_shows_half_a_machine(opened):
    gpu, stop, bad = handle(), threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            memory = pynvml.nvmlDeviceGetMemoryInfo(gpu, version=pynvml.nvmlMemory_v2)
            if memory.used + memory.free + memory.reserved != memory.total:
                bad.append(memory)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for step in range(100):
        opened.machine.gpus[0].memory_used = step * MIB
        opened.save()
    stop.set()
    for reader in readers:
        reader.join()
    assert bad == []
    assert pynvml.nvmlDeviceGetMemoryInfo(gpu, version=pynvml.nvmlMemory_v2).used == 99 * MIB
