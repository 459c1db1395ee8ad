"""The ways in which a driver fails, on demand."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pynvml

from tests.nvml_sim.build import build
from tests.nvml_sim.opened import handle


def code_of(call, *arguments) -> int:
    """NVML's return value: 0 when the call succeeds."""
    try:
        call(*arguments)
    except pynvml.NVMLError as failed:
        return failed.value
    return 0


def test_nothing_answers_before_the_library_is_opened(nvml_sim):
    assert code_of(pynvml.nvmlDeviceGetCount) == pynvml.NVML_ERROR_UNINITIALIZED
    pynvml.nvmlInit()
    pynvml.nvmlInit()
    pynvml.nvmlShutdown()
    assert pynvml.nvmlDeviceGetCount() == 8
    pynvml.nvmlShutdown()
    assert code_of(pynvml.nvmlDeviceGetCount) == pynvml.NVML_ERROR_UNINITIALIZED
    assert code_of(pynvml.nvmlShutdown) == pynvml.NVML_ERROR_UNINITIALIZED


def test_a_fault_strikes_one_function_on_one_gpu(opened):
    third, fourth = handle(2), handle(3)
    opened.machine.fault("nvmlDeviceGetMemoryInfo", error=999, gpu=3)
    assert code_of(pynvml.nvmlDeviceGetMemoryInfo, fourth) == 999
    assert code_of(pynvml.nvmlDeviceGetMemoryInfo, third) == 0
    assert code_of(pynvml.nvmlDeviceGetPowerUsage, fourth) == 0
    opened.machine.clear_faults()
    assert code_of(pynvml.nvmlDeviceGetMemoryInfo, fourth) == 0


def test_a_fault_of_everything_strikes_stubs_and_systems_too(opened):
    opened.machine.fault("*", error=17)
    assert code_of(pynvml.nvmlSystemGetDriverVersion) == 17
    assert code_of(pynvml.nvmlDeviceGetCount) == 17
    assert code_of(pynvml.nvmlUnitGetHandleByIndex, 0) == 17


def test_a_handle_of_one_gpu_can_be_refused(opened):
    opened.machine.fault("nvmlDeviceGetHandleByIndex_v2", error=999, gpu=1)
    assert [code_of(handle, index) for index in range(3)] == [0, 999, 0]


def test_a_hanging_call_holds_its_own_thread_only(opened):
    stuck, free = handle(0), handle(1)
    opened.machine.hang("nvmlDeviceGetPowerUsage", 30, gpu=0)
    done = threading.Event()
    waiting = threading.Thread(
        target=lambda: (pynvml.nvmlDeviceGetPowerUsage(stuck), done.set()), daemon=True
    )
    waiting.start()
    started = time.monotonic()
    assert pynvml.nvmlDeviceGetPowerUsage(free) == 70_000
    assert time.monotonic() - started < 1
    assert not done.wait(0.2)
    opened.machine.clear_faults()
    assert done.wait(2)


def test_a_hang_ends_after_its_time(opened):
    opened.machine.hang("nvmlDeviceGetTemperature", 0.3)
    started = time.monotonic()
    assert pynvml.nvmlDeviceGetTemperature(handle(), 0) == 30
    assert 0.25 < time.monotonic() - started < 2


def test_a_lost_gpu_keeps_only_what_the_driver_had_cached(opened):
    lost, other = handle(3), handle(4)
    opened.machine.lose(3)
    for call in (
        pynvml.nvmlDeviceGetMemoryInfo,
        pynvml.nvmlDeviceGetUtilizationRates,
        pynvml.nvmlDeviceGetComputeRunningProcesses,
        pynvml.nvmlDeviceGetPowerUsage,
    ):
        assert code_of(call, lost) == pynvml.NVML_ERROR_GPU_IS_LOST
        assert code_of(call, other) == 0
    assert pynvml.nvmlDeviceGetUUID(lost) == opened.machine.gpus[3].uuid
    assert code_of(handle, 3) == pynvml.NVML_ERROR_GPU_IS_LOST
    assert pynvml.nvmlDeviceGetCount() == 8
    opened.machine.find(3)
    assert code_of(pynvml.nvmlDeviceGetMemoryInfo, lost) == 0


def test_after_a_reload_old_handles_are_void_until_nvml_is_opened_again(opened):
    old = handle()
    opened.machine.driver_away()
    assert code_of(pynvml.nvmlDeviceGetPowerUsage, old) == pynvml.NVML_ERROR_DRIVER_NOT_LOADED
    assert code_of(pynvml.nvmlInit) == pynvml.NVML_ERROR_DRIVER_NOT_LOADED
    opened.machine.driver_back()
    assert code_of(pynvml.nvmlDeviceGetPowerUsage, old) == pynvml.NVML_ERROR_UNINITIALIZED
    pynvml.nvmlShutdown()
    pynvml.nvmlInit()
    assert code_of(pynvml.nvmlDeviceGetPowerUsage, old) == pynvml.NVML_ERROR_INVALID_ARGUMENT
    assert pynvml.nvmlDeviceGetPowerUsage(handle()) == 70_000


def test_opening_fails_as_told(nvml_sim):
    nvml_sim.machine.fail_init(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
    assert code_of(pynvml.nvmlInit) == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
    nvml_sim.machine.fail_init(0)
    assert code_of(pynvml.nvmlInit) == 0


def test_without_a_state_file_there_is_no_driver(nvml_sim):
    nvml_sim.state.unlink()
    assert code_of(pynvml.nvmlInit) == pynvml.NVML_ERROR_DRIVER_NOT_LOADED


def test_a_handle_that_was_never_given_out_is_refused(opened):
    for nonsense in (0, 8, 0xDEADBEEF):
        device = pynvml.cast(pynvml.c_void_p(nonsense), pynvml.c_nvmlDevice_t)
        assert code_of(pynvml.nvmlDeviceGetPowerUsage, device) == 2


ASK_OLD_DRIVER = """
import pynvml
pynvml.nvmlInit()
gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
print(pynvml.nvmlDeviceGetMemoryInfo(gpu).total)
for call in (lambda: pynvml.nvmlDeviceGetMemoryInfo(gpu, version=pynvml.nvmlMemory_v2),
             lambda: pynvml.nvmlDeviceGetComputeRunningProcesses_v3(gpu)):
    try:
        call()
    except pynvml.NVMLError as failed:
        print(failed.value)
"""


def test_an_older_driver_lacks_what_it_is_told_to_lack(nvml_sim):
    env = nvml_sim.env_without(
        "nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetComputeRunningProcesses_v3"
    )
    ran = subprocess.run(
        [sys.executable, "-c", ASK_OLD_DRIVER], env=env, capture_output=True, text=True, check=True
    )
    missing = str(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
    assert ran.stdout.split() == [str(81559 * 2**20), missing, missing]


def test_a_program_reports_how_often_it_called(nvml_sim, tmp_path):
    counts = tmp_path / "calls"
    ask = "import pynvml as p; p.nvmlInit(); [p.nvmlDeviceGetCount() for _ in range(5)]"
    env = nvml_sim.env | {"GPUDOCTOR_NVML_SIM_CALLS": str(counts)}
    subprocess.run([sys.executable, "-c", ask], env=env, check=True)
    rows = dict(line.split() for line in counts.read_text().splitlines())
    assert rows == {"nvmlInitWithFlags": "1", "nvmlDeviceGetCount_v2": "5"}


def test_the_library_is_built_once_for_each_variant():
    assert build() == build()
    assert build(("nvmlDeviceGetName", "nvmlDeviceGetUUID")) == build(
        ("nvmlDeviceGetUUID", "nvmlDeviceGetName")
    )
    assert build() != build(("nvmlDeviceGetName",))
