from __future__ import annotations

from dataclasses import replace

from gpudoctor.host.visibility import confirmed, reconciled, with_notes
from gpudoctor.host.visible_devices import resolve
from gpudoctor.model.environment import GpuRow
from gpudoctor.model.probe import CudaDevice, CudaDriver, Probe, ProbeOutcome, TorchCuda
from gpudoctor.model.process import DeviceProcess
from gpudoctor.model.readings import MigInstance, MigReading
from gpudoctor.model.visible import Standing
from tests.builders import device, uuid_of

GPUS = [GpuRow(device(index).facts) for index in range(4)]


def device_of(name: str):
    return replace(device(1).facts, name=name)


def probe(**changes) -> Probe:
    return Probe(ProbeOutcome.OK, "python", "a test", 0.1, **changes)


def direct(*indices: int, code: int | None = 0, **changes) -> CudaDriver:
    rows = tuple(CudaDevice(i, "H100", uuid_of(index)) for i, index in enumerate(indices))
    return CudaDriver(code=code, devices=rows, **changes)


def answer(value: str | None):
    return resolve({} if value is None else {"CUDA_VISIBLE_DEVICES": value}, GPUS)


def test_a_driver_that_agrees_makes_the_answer_its_own():
    found = confirmed(answer("2,0"), probe(driver=direct(2, 0)), GPUS, "driver")
    assert (found.source, found.standing, found.expected) == ("driver", None, None)
    assert [row.nvml_index for row in found.visible] == [2, 0]
    assert found.visible[0].pci_bus_id == GPUS[2].facts.pci_bus_id


def test_a_driver_that_answers_makes_the_rules_doubts_void():
    mixed = [GPUS[0], GpuRow(device_of("NVIDIA T400"))]
    rules = resolve({}, mixed)
    assert "estimate" in rules.notes[0]
    found = confirmed(rules, probe(driver=direct(0, 1)), mixed, "driver")
    assert found.notes == ()


def test_a_driver_that_disagrees_wins_and_the_rules_answer_is_kept():
    found = confirmed(answer("2,0"), probe(driver=direct(0, 2)), GPUS, "driver")
    assert [row.nvml_index for row in found.visible] == [0, 2]
    assert found.expected is not None
    assert [row.nvml_index for row in found.expected] == [2, 0]
    assert "other GPUs than its documented rules" in found.notes[-1]


def test_no_visible_device_is_an_answer_of_the_driver_too():
    found = confirmed(answer("-1"), probe(driver=direct(code=100)), GPUS, "driver")
    assert (found.source, found.visible, found.expected) == ("driver", (), None)


def test_a_driver_that_fails_confirms_nothing():
    broken = direct(code=999, name="CUDA_ERROR_UNKNOWN")
    found = confirmed(answer("1"), probe(driver=broken), GPUS, "driver")
    assert found.source == "rules"
    assert found.notes[-1] == "Not confirmed by the driver: cuInit fails with CUDA_ERROR_UNKNOWN"


def test_a_missing_libcuda_confirms_nothing():
    missing = CudaDriver(error="libcuda.so.1: cannot open shared object file")
    found = confirmed(answer("1"), probe(driver=missing), GPUS, "driver")
    assert found.source == "rules"
    assert "libcuda.so.1" in found.notes[-1]


def test_torch_is_asked_where_it_sees_devices_and_the_driver_where_it_sees_none():
    cuda = TorchCuda(True, devices=(CudaDevice(0, "H100", uuid_of(3)),))
    assert confirmed(answer("3"), probe(cuda=cuda), GPUS, "torch").source == "torch"
    cpu = probe(cuda=TorchCuda(False), driver=direct(3))
    assert confirmed(answer("3"), cpu, GPUS, "torch").source == "driver"


def test_an_instance_is_known_by_its_uuid_however_it_is_prefixed():
    part = MigInstance("MIG-37b51284-1df4-5451-979d-3231ccb0822e", 1, 0, "1g.10gb")
    gpu = GpuRow(GPUS[0].facts, MigReading(True, (part,)))
    seen = CudaDevice(0, "A100 MIG", "GPU-" + part.uuid.removeprefix("MIG-"))
    rules = resolve({}, [gpu])
    found = confirmed(rules, probe(cuda=TorchCuda(True, devices=(seen,))), [gpu], "torch")
    assert (found.visible[0].uuid, found.visible[0].gpu_instance) == (part.uuid, 1)
    assert found.expected is None


def process(**changes) -> DeviceProcess:
    return DeviceProcess(77, "compute", **changes)


def test_nvml_that_agrees_is_said():
    found = reconciled(answer("2,0"), 77, [(GPUS[2], process())])
    assert found.source == "rules"
    assert "which agrees" in found.notes[-1]


def test_nvml_that_disagrees_wins_and_one_gpu_is_cuda_0():
    found = reconciled(answer("2"), 77, [(GPUS[1], process())])
    assert (found.source, found.standing) == ("nvml", None)
    assert [(row.ordinal, row.nvml_index) for row in found.visible] == [(0, 1)]
    assert found.expected is not None
    assert found.expected[0].nvml_index == 2


def test_the_order_of_several_gpus_that_nvml_sees_is_unknown():
    found = reconciled(answer("2"), 77, [(GPUS[0], process()), (GPUS[1], process())])
    assert [(row.ordinal, row.nvml_index) for row in found.visible] == [(None, 0), (None, 1)]


def test_a_process_on_no_gpu_is_not_confirmed():
    assert "on no GPU" in reconciled(answer("2"), 77, []).notes[-1]


def test_a_process_in_an_instance_uses_that_instance():
    parts = (MigInstance("MIG-a", 1, 0), MigInstance("MIG-b", 2, 0))
    gpu = GpuRow(GPUS[0].facts, MigReading(True, parts))
    row = process(gpu_instance=2, compute_instance=0)
    found = reconciled(resolve({}, [gpu]), 77, [(gpu, row)])
    assert [row.uuid for row in found.visible] == ["MIG-b"]


def test_the_traps_of_an_environment_are_named():
    environ = {
        "CUDA_VISIBLE_DEVICES": "1",
        "SLURM_JOB_GPUS": "1",
        "CUDA_MPS_PIPE_DIRECTORY": "/tmp/mps",
        "HOME": "/home/ana",
    }
    found = with_notes(resolve(environ, GPUS), environ)
    text = " ".join(found.notes)
    assert "SLURM_JOB_GPUS counts all GPUs" in text
    assert "read once, when CUDA starts" in text
    assert "UUIDs mean the same GPU" in text
    assert set(found.variables) == {
        "CUDA_VISIBLE_DEVICES",
        "SLURM_JOB_GPUS",
        "CUDA_MPS_PIPE_DIRECTORY",
    }
    assert found.standing is Standing.UNVERIFIED


def test_an_order_that_is_not_nvidia_smis_is_named():
    environ = {"CUDA_VISIBLE_DEVICES": "3,1"}
    notes = with_notes(resolve(environ, GPUS), environ).notes
    assert any("cuda:0 is GPU 3 of nvidia-smi" in note for note in notes)
    assert with_notes(resolve({}, GPUS), {}).notes == ()
