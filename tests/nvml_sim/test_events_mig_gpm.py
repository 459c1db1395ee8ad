"""Events, MIG devices and GPM: what needs several calls that belong together."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import pynvml
import pytest

from tests.nvml_sim.machine import SimProcess, ramp
from tests.nvml_sim.opened import handle
from tests.nvml_sim.presets import FIRST_PID, GIB, mig_a100, mixed, one_rtx3090

XID = pynvml.nvmlEventTypeXidCriticalError


@contextmanager
def watching(*indices: int):
    events = pynvml.nvmlEventSetCreate()
    for index in indices:
        pynvml.nvmlDeviceRegisterEvents(handle(index), XID, events)
    yield events
    pynvml.nvmlEventSetFree(events)


def test_an_xid_wakes_who_waits_for_it(opened):
    with watching(0, 1) as events:
        threading.Timer(0.2, opened.machine.xid, (1, 79)).start()
        started = time.monotonic()
        seen = pynvml.nvmlEventSetWait(events, 5000)
        assert 0.1 < time.monotonic() - started < 3
    assert pynvml.nvmlDeviceGetIndex(seen.device) == 1
    assert (seen.eventType, seen.eventData) == (XID, 79)
    assert seen.gpuInstanceId == 0xFFFFFFFF


def test_a_set_sees_each_event_once_and_none_from_before_it(opened):
    opened.machine.xid(0, 31)
    with watching(0, 1) as events, watching(1) as others:
        opened.machine.xid(0, 13)
        opened.machine.xid(1, 43)
        opened.machine.xid(2, 48)
        codes = [pynvml.nvmlEventSetWait(events, 0).eventData for _ in range(2)]
        assert codes == [13, 43]
        assert pynvml.nvmlEventSetWait(others, 0).eventData == 43
        with pytest.raises(pynvml.NVMLError_Timeout):
            pynvml.nvmlEventSetWait(events, 50)


def test_waiting_ends_when_a_watched_gpu_is_lost_or_the_driver_goes(opened):
    with watching(0, 1) as events:
        opened.machine.xid(1, 79)
        opened.machine.lose(1)
        assert pynvml.nvmlEventSetWait(events, 0).eventData == 79
        with pytest.raises(pynvml.NVMLError_GpuIsLost):
            pynvml.nvmlEventSetWait(events, 1000)
        opened.machine.find(1)
        threading.Timer(0.1, opened.machine.driver_away).start()
        with pytest.raises(pynvml.NVMLError_DriverNotLoaded):
            pynvml.nvmlEventSetWait(events, 5000)
        opened.machine.driver_back()
        pynvml.nvmlInit()


def test_events_that_a_card_does_not_know_cannot_be_watched(opened):
    opened.use(one_rtx3090())
    supported = pynvml.nvmlDeviceGetSupportedEventTypes(handle())
    assert supported & XID
    events = pynvml.nvmlEventSetCreate()
    with pytest.raises(pynvml.NVMLError_NotSupported):
        pynvml.nvmlDeviceRegisterEvents(handle(), pynvml.nvmlEventTypeGpuUnavailableError, events)
    pynvml.nvmlEventSetFree(events)
    with pytest.raises(pynvml.NVMLError_InvalidArgument):
        pynvml.nvmlEventSetWait(events, 0)


def test_mig_devices_have_their_own_names_memory_and_processes(opened):
    opened.use(mig_a100(pids=(11, 12, 13)))
    gpu = handle()
    assert pynvml.nvmlDeviceGetMigMode(gpu) == [1, 1]
    assert pynvml.nvmlDeviceGetMaxMigDeviceCount(gpu) == 7
    parts = [pynvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, slot) for slot in range(3)]
    assert [pynvml.nvmlDeviceGetName(part)[-7:] for part in parts] == [
        "3g.20gb",
        "2g.10gb",
        " 1g.5gb",
    ]
    assert [pynvml.nvmlDeviceGetGpuInstanceId(part) for part in parts] == [1, 5, 13]
    assert [pynvml.nvmlDeviceGetAttributes(part).gpuInstanceSliceCount for part in parts] == [
        3,
        2,
        1,
    ]
    for part, pid in zip(parts, (11, 12, 13), strict=True):
        rows = pynvml.nvmlDeviceGetComputeRunningProcesses(part)
        assert [(row.pid, row.usedGpuMemory) for row in rows] == [(pid, 2 * GIB)]
        assert pynvml.nvmlDeviceGetMemoryInfo(part).used == 2 * GIB
        parent = pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(part)
        assert pynvml.nvmlDeviceGetUUID(parent) == pynvml.nvmlDeviceGetUUID(gpu)
    rows = pynvml.nvmlDeviceGetComputeRunningProcesses(gpu)
    assert [(row.pid, row.gpuInstanceId) for row in rows] == [(11, 1), (12, 5), (13, 13)]


def test_a_mig_device_is_found_by_uuid_and_a_free_slot_is_not(opened):
    machine = opened.use(mig_a100())
    part = pynvml.nvmlDeviceGetHandleByUUID(machine.gpus[0].migs[1].uuid)
    assert pynvml.nvmlDeviceIsMigDeviceHandle(part).value == 1
    assert pynvml.nvmlDeviceIsMigDeviceHandle(handle()).value == 0
    with pytest.raises(pynvml.NVMLError_NotFound):
        pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle(), 5)
    for unmeasured in (
        lambda: pynvml.nvmlDeviceGetUtilizationRates(handle()),
        lambda: pynvml.nvmlDeviceGetProcessUtilization(handle(), 0),
        lambda: pynvml.nvmlDeviceGetProcessesUtilizationInfo(handle(), 0),
    ):
        with pytest.raises(pynvml.NVMLError_NotSupported):
            unmeasured()


def test_an_instance_that_was_destroyed_stops_answering(opened):
    machine = opened.use(mig_a100())
    part = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle(), 2)
    del machine.gpus[0].migs[2]
    opened.save()
    with pytest.raises(pynvml.NVMLError_NotFound):
        pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle(), 2)
    with pytest.raises(pynvml.NVMLError):
        pynvml.nvmlDeviceGetMemoryInfo(part)


def metrics(first, second, *ids: int):
    request = pynvml.c_nvmlGpmMetricsGet_t()
    request.version = pynvml.NVML_GPM_METRICS_GET_VERSION
    request.numMetrics = len(ids)
    request.sample1, request.sample2 = first, second
    for place, number in enumerate(ids):
        request.metrics[place].metricId = number
    pynvml.nvmlGpmMetricsGet(request)
    return [(m.nvmlReturn, round(m.value, 1)) for m in request.metrics[: len(ids)]]


def test_gpm_makes_metrics_of_two_samples(opened):
    opened.machine.gpus[0]["gpm.3"] = ramp(10, 100)
    opened.save()
    gpu = handle()
    assert pynvml.nvmlGpmQueryDeviceSupport(gpu).isSupportedDevice == 1
    first = pynvml.nvmlGpmSampleGet(gpu, pynvml.nvmlGpmSampleAlloc())
    time.sleep(0.1)
    second = pynvml.nvmlGpmSampleGet(gpu, pynvml.nvmlGpmSampleAlloc())
    graphics, sm, occupancy, unknown = metrics(first, second, 1, 2, 3, 99)
    assert (graphics, sm) == ((0, 50.0), (0, 82.0))
    assert occupancy[1] > 15
    assert unknown[0] == pynvml.NVML_ERROR_NOT_SUPPORTED
    with pytest.raises(pynvml.NVMLError_InvalidArgument):
        metrics(second, first, 1)
    with pytest.raises(pynvml.NVMLError_InvalidArgument):
        metrics(first, pynvml.nvmlGpmSampleGet(handle(1), pynvml.nvmlGpmSampleAlloc()), 1)
    for sample in (first, second):
        pynvml.nvmlGpmSampleFree(sample)


def test_older_cards_have_no_gpm(opened):
    opened.use(mixed())
    supported = [pynvml.nvmlGpmQueryDeviceSupport(handle(n)).isSupportedDevice for n in range(4)]
    assert supported == [1, 0, 0, 0]
    with pytest.raises(pynvml.NVMLError_NotSupported):
        pynvml.nvmlGpmSampleGet(handle(2), pynvml.nvmlGpmSampleAlloc())


def test_presets_differ_where_cards_differ(opened):
    opened.use(mixed())
    names = [pynvml.nvmlDeviceGetName(handle(number)) for number in range(4)]
    assert [name.split()[-1] for name in names] == ["HBM3", "A100-SXM4-40GB", "3090", "P40"]
    assert pynvml.nvmlDeviceGetFanSpeed_v2(handle(2), 1) == 30
    with pytest.raises(pynvml.NVMLError_NotSupported):
        pynvml.nvmlDeviceGetEccMode(handle(2))
    with pytest.raises(pynvml.NVMLError_NotSupported):
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle(3))
    assert len(pynvml.nvmlDeviceGetRetiredPages_v2(handle(3), 1)) == 2
    opened.use(one_rtx3090())
    shown = pynvml.nvmlDeviceGetGraphicsRunningProcesses(handle())
    assert [row.pid for row in shown] == [FIRST_PID]


def test_a_process_list_may_grow_between_its_two_calls(opened):
    opened.machine.gpus[0].processes = [SimProcess(pid, GIB) for pid in range(500, 540)]
    opened.save()
    room = pynvml.c_uint(4)
    rows = (pynvml.c_nvmlProcessInfo_v2_t * 4)()
    code = pynvml.nvmlLib.nvmlDeviceGetComputeRunningProcesses_v3(
        handle(), pynvml.byref(room), rows
    )
    assert (code, room.value) == (pynvml.NVML_ERROR_INSUFFICIENT_SIZE, 40)
    assert len(pynvml.nvmlDeviceGetComputeRunningProcesses(handle())) == 40
