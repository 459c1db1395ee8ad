"""The real binding on the simulated library: every group of readings, and every way to fail."""

from __future__ import annotations

import os
import subprocess
import sys

import pynvml
import pytest

from gpudoctor.nvml.api import (
    DeviceLostError,
    DriverGoneError,
    NvmlCallError,
    NvmlUnavailableError,
)
from gpudoctor.nvml.binding import open_nvml
from gpudoctor.nvml.throttle import ids_of as throttle_ids
from tests.nvml_sim.presets import FIRST_PID, GIB, MIB, mig_a100, mixed, one_rtx3090

GROUPS = (
    "memory", "utilization", "power", "thermal", "clocks",
    "throttle", "pcie", "nvlink", "health", "gpm", "mig", "processes",
)  # fmt: skip


@pytest.fixture
def driver(nvml_sim):
    opened = open_nvml()
    yield opened
    opened.close()


@pytest.fixture
def gpu(nvml_sim, driver):
    return nvml_sim.machine.gpus[0]


def test_the_driver_tells_its_versions_and_how_many_gpus_it_has(driver):
    facts = driver.driver()
    assert (facts.version, facts.nvml_version) == ("580.95.05", "13.580.95.05")
    assert facts.cuda_version == (13, 0)
    assert driver.device_count() == 8


def test_the_facts_of_a_gpu_are_those_of_the_card(driver):
    facts = driver.device(3).facts()
    assert facts.index == 3
    assert facts.uuid == "GPU-6e1f0d0c-0003-4de0-b0de-000000000003"
    assert facts.name == "NVIDIA H100 80GB HBM3"
    assert facts.pci_bus_id == "00000000:5D:00.0"
    assert (facts.architecture, facts.compute_capability) == ("Hopper", (9, 0))
    assert facts.memory_total_bytes == 81559 * MIB
    assert facts.cuda_cores == 16896
    assert facts.power_limit_max_watts == 700
    assert (facts.temperature_slowdown_celsius, facts.temperature_shutdown_celsius) == (89, 92)
    assert (facts.sm_clock_max_hertz, facts.memory_clock_max_hertz) == (1.98e9, 2.619e9)
    assert (facts.pcie_generation_max, facts.pcie_width_max) == (5, 16)
    assert facts.nvlink_count == 18


def test_memory_is_in_bytes_with_the_drivers_reserve_apart(nvml_sim, driver, gpu):
    gpu.memory_used = 20 * GIB
    nvml_sim.save()
    memory = driver.device(0).memory()
    assert (memory.used_bytes, memory.total_bytes) == (20 * GIB, 81559 * MIB)
    assert memory.reserved_bytes == 551 * MIB
    assert memory.bar1_used_bytes == 4 * MIB


def test_shares_are_ratios_and_power_is_in_watts(nvml_sim, driver, gpu):
    gpu.update({"utilization.gpu": 93, "utilization.memory": 41, "power.usage_mw": 612_345})
    nvml_sim.save()
    device = driver.device(0)
    assert (device.utilization().gpu_ratio, device.utilization().memory_ratio) == (0.93, 0.41)
    assert device.power().usage_watts == pytest.approx(612.345)
    assert device.power().limit_watts == 700
    assert device.power().energy_joules > 999


def test_temperatures_come_with_the_memorys_where_there_is_a_sensor(driver):
    thermal = driver.device(0).thermal()
    assert (thermal.gpu_celsius, thermal.memory_celsius, thermal.fan_ratio) == (30, 42, None)


def test_what_a_consumer_card_leaves_out_is_none_and_never_zero(nvml_sim, driver):
    nvml_sim.use(one_rtx3090())
    device = driver.device(0)
    assert device.thermal().memory_celsius is None
    assert device.thermal().fan_ratio == pytest.approx(0.30)
    assert device.health().ecc_enabled is None
    assert device.health().ecc_corrected_volatile is None
    assert device.health().recovery_action is None
    assert device.gpm().sm_active_ratio is None
    assert device.nvlink().links_total is None
    assert device.mig().enabled is None


def test_clock_event_reasons_have_nvmls_names(nvml_sim, driver, gpu):
    gpu.update({"clock.reasons": 0x4 | 0x40 | 0x10000, "clock.sm": 345})
    nvml_sim.save()
    clocks = driver.device(0).clocks()
    assert clocks.reasons == ("sw_power_cap", "hw_thermal_slowdown", "0x10000")
    assert clocks.sm_hertz == 345e6
    assert clocks.performance_state == 0


def test_the_pcie_link_is_in_bytes_per_second(driver):
    pcie = driver.device(0).pcie()
    assert (pcie.generation, pcie.width, pcie.replays) == (5, 16, 0)
    assert pcie.transmit_bytes_per_second == 1200 * 1024
    assert pcie.receive_bytes_per_second == 3400 * 1024


def test_nvlink_sums_all_links_and_counts_those_that_are_up(nvml_sim, driver, gpu):
    gpu.update({"nvlink.3.state": 0, "nvlink.tx_kib": 100, "nvlink.replay": 7})
    nvml_sim.save()
    nvlink = driver.device(0).nvlink()
    assert (nvlink.links_active, nvlink.links_total) == (17, 18)
    assert nvlink.transmit_bytes == 18 * 100 * 1024
    assert nvlink.receive_bytes > 0
    assert [link.active for link in nvlink.links[2:5]] == [True, False, True]
    assert {link.transmit_bytes for link in nvlink.links} == {100 * 1024}


def test_the_bytes_that_nvlink_5_counts_are_read_where_there_are_no_kib(nvml_sim, driver, gpu):
    gpu.update({"nvlink.tx_kib": None, "nvlink.rx_kib": None})
    gpu.update({"nvlink.tx_bytes": 1001, "nvlink.4.tx_bytes": 5, "nvlink.rx_bytes": 7})
    nvml_sim.save()
    nvlink = driver.device(0).nvlink()
    assert (nvlink.transmit_bytes, nvlink.receive_bytes) == (17 * 1001 + 5, 18 * 7)
    assert nvlink.links[4].transmit_bytes == 5


def test_the_driver_tells_for_how_long_each_reason_has_slowed_the_gpu_down(nvml_sim, driver, gpu):
    gpu.update({"violation.0": 1_500_000_000, "violation.1": 9_000_000_000})
    gpu.update({"violation.sw_thermal": 0, "violation.hw_thermal": 8_000_000_000})
    nvml_sim.save()
    throttle = driver.device(0).throttle()
    assert throttle.sw_power_cap_seconds == pytest.approx(1.5)
    assert (throttle.sw_thermal_seconds, throttle.hw_thermal_seconds) == (0, pytest.approx(8))
    assert throttle.hw_power_brake_seconds is None
    # The parts are told, so the whole would count the same time twice.
    assert throttle.thermal_seconds is None


def test_a_driver_that_does_not_split_thermal_time_tells_it_whole(nvml_sim):
    nvml_sim.machine.driver_version = "570.211.01"
    nvml_sim.machine.gpus[0].update({"violation.1": 9_000_000_000, "violation.hw_thermal": 1})
    nvml_sim.save()
    opened = open_nvml()
    throttle = opened.device(0).throttle()
    opened.close()
    assert (throttle.thermal_seconds, throttle.hw_thermal_seconds) == (pytest.approx(9), None)


@pytest.mark.parametrize(
    ("driver_version", "first"),
    [("580.95.05", 269), ("615.10", 269), ("575.51.03", 251), ("570.86", None), (None, None)],
)
def test_counters_are_asked_for_under_the_ids_that_they_have_in_this_driver(driver_version, first):
    assert throttle_ids(driver_version).get("sw_thermal_seconds") == first


def test_health_reads_ecc_rows_and_the_recommended_recovery(nvml_sim, driver, gpu):
    gpu.update(
        {
            "ecc.uncorrected.volatile": 2,
            "ecc.corrected.aggregate": 51,
            "rows.uncorrected": 3,
            "rows.pending": 1,
            "recovery_action": 1,
        }
    )
    nvml_sim.save()
    health = driver.device(0).health()
    assert health.ecc_enabled is True
    assert (health.ecc_uncorrected_volatile, health.ecc_corrected_aggregate) == (2, 51)
    assert (health.remapped_uncorrected_rows, health.remap_pending) == (3, True)
    assert health.remap_failed is False
    assert health.recovery_action == "reset the GPU"
    assert health.persistence_mode is True
    assert health.compute_mode == "default"
    # Older releases of the binding cannot ask for it.
    asks = hasattr(pynvml, "nvmlDeviceGetGpuFabricInfoV")
    assert health.fabric_state == ("completed" if asks else None)


def test_an_older_card_tells_retired_pages_instead_of_rows(nvml_sim, driver):
    nvml_sim.use(mixed())
    health = driver.device(3).health()
    assert health.retired_pages == 2
    assert health.retired_pages_pending is False
    assert health.remapped_corrected_rows is None


def test_performance_monitoring_needs_two_looks(driver):
    import time

    device = driver.device(0)
    assert device.gpm().sm_active_ratio is None
    time.sleep(0.12)
    gpm = device.gpm()
    assert gpm.sm_active_ratio == pytest.approx(0.82)
    assert gpm.sm_occupancy_ratio == pytest.approx(0.41)
    assert gpm.tensor_active_ratio == pytest.approx(0.33)
    assert gpm.dram_active_ratio == pytest.approx(0.52)
    assert gpm.fp64_active_ratio == 0.0


def test_mig_instances_are_listed_with_their_memory(nvml_sim, driver):
    nvml_sim.use(mig_a100())
    device = driver.device(0)
    mig = device.mig()
    assert mig.enabled is True
    assert [instance.gpu_instance for instance in mig.instances] == [1, 5, 13]
    assert mig.instances[0].memory_used_bytes == 2 * GIB
    assert mig.instances[0].slices == 3
    assert device.utilization().gpu_ratio is None
    assert {row.gpu_instance for row in device.processes()} == {1, 5, 13}


def test_processes_come_with_memory_and_their_share_of_the_sms(driver):
    first, second = driver.device(0).processes()
    assert (first.pid, first.kind, first.memory_used_bytes) == (FIRST_PID, "compute", 6 * GIB)
    assert (first.sm_ratio, first.memory_ratio) == (0.20, 0.10)
    assert first.gpu_instance is None
    assert second.pid == FIRST_PID + 8


def test_graphics_processes_are_told_apart_and_one_of_both_kinds_counts_once(nvml_sim, driver):
    machine = nvml_sim.use(one_rtx3090())
    machine.gpus[0].processes[1].kind = "graphics"
    machine.gpus[0].processes.append(machine.gpus[0].processes[1])
    machine.save()
    rows = driver.device(0).processes()
    assert [row.kind for row in rows] == ["graphics", "graphics"]


def test_a_process_whose_memory_is_not_available_has_none(nvml_sim, driver, gpu):
    gpu.processes[0].memory = None
    gpu.memory_used = GIB
    nvml_sim.save()
    assert driver.device(0).processes()[0].memory_used_bytes is None


def test_an_xid_arrives_as_an_event_with_its_gpu(nvml_sim, driver):
    assert driver.wait_events(0.05) == ()
    nvml_sim.machine.xid(2, 79)
    nvml_sim.machine.xid(5, 31)
    events = driver.wait_events(2.0)
    assert [(event.kind, event.code) for event in events] == [("xid", 79), ("xid", 31)]
    assert events[0].uuid == nvml_sim.machine.gpus[2].uuid


def test_the_xid_of_a_gpu_that_is_lost_at_once_is_told_before_the_loss(nvml_sim, driver):
    assert driver.wait_events(0.05) == ()
    nvml_sim.machine.xid(2, 79)
    nvml_sim.machine.lose(2)
    assert [event.code for event in driver.wait_events(2.0)] == [79]
    with pytest.raises(NvmlCallError):
        driver.wait_events(0.05)


# ---- failures ----


@pytest.mark.parametrize("code", [2, 3, 4, 6, 13, 21, 25, 26, 27])
@pytest.mark.parametrize("group", [name for name in GROUPS if name not in ("mig", "processes")])
def test_an_answer_that_there_is_no_such_value_leaves_none(nvml_sim, driver, group, code):
    nvml_sim.machine.fault("*", code, gpu=0)
    device = driver.device(1)
    nvml_sim.machine.clear_faults()
    nvml_sim.machine.fault("*", code, gpu=1)
    reading = getattr(device, group)()
    assert all(getattr(reading, name) in (None, ()) for name in reading.__struct_fields__)


@pytest.mark.parametrize("code", [7, 10, 16, 17, 20, 999, 12345])
@pytest.mark.parametrize("group", GROUPS)
def test_any_other_error_of_every_call_is_one_error_of_ours(nvml_sim, driver, group, code):
    device = driver.device(1)
    if group == "gpm":
        device.gpm()
    nvml_sim.machine.fault("*", code, gpu=1)
    if group == "gpm":
        import time

        time.sleep(0.12)
    with pytest.raises(NvmlCallError) as caught:
        getattr(device, group)()
    assert caught.value.code == code
    assert type(caught.value) is NvmlCallError


@pytest.mark.parametrize("group", GROUPS)
def test_a_lost_gpu_is_told_as_lost(nvml_sim, driver, group):
    device = driver.device(0)
    nvml_sim.machine.lose(0)
    with pytest.raises(DeviceLostError):
        getattr(device, group)()


@pytest.mark.parametrize("group", GROUPS)
def test_a_driver_that_was_unloaded_is_told_as_gone(nvml_sim, driver, group):
    device = driver.device(0)
    nvml_sim.machine.driver_away()
    with pytest.raises(DriverGoneError):
        getattr(device, group)()


def test_one_call_that_fails_does_not_take_its_neighbours_along(nvml_sim, driver):
    nvml_sim.machine.fault("nvmlDeviceGetPowerUsage", 999, gpu=0)
    power = driver.device(0).power()
    assert power.usage_watts is None
    assert power.limit_watts == 700


def test_after_a_reload_a_newly_opened_driver_answers(nvml_sim, driver):
    nvml_sim.machine.driver_away()
    with pytest.raises(NvmlCallError):
        driver.device(0).memory()
    driver.close()
    nvml_sim.machine.driver_back()
    again = open_nvml()
    assert again.device(0).memory().total_bytes == 81559 * MIB
    again.close()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (4, "may not be asked by this user"),
        (9, "is not loaded"),
        (18, "of different versions"),
        (999, "cannot be asked"),
    ],
)
def test_each_way_not_to_open_has_its_cause_and_its_hint(nvml_sim, code, words):
    nvml_sim.machine.fail_init(code)
    with pytest.raises(NvmlUnavailableError) as caught:
        open_nvml()
    assert words in caught.value.message
    assert caught.value.code == code
    assert caught.value.cause
    assert caught.value.hint


def test_a_file_that_is_no_library_is_not_taken_for_a_missing_driver(tmp_path):
    (tmp_path / "libnvidia-ml.so.1").write_text("nothing")
    command = [sys.executable, "-c", "from gpudoctor.nvml.binding import open_nvml; open_nvml()"]
    env = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30)
    assert done.stderr.splitlines()[-1].endswith("the NVIDIA driver's library cannot be loaded")
