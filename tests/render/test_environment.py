from __future__ import annotations

import io

import pytest
from rich.console import Console

from gpudoctor.model.environment import (
    DeviceNode,
    DriverReport,
    EnvironmentReport,
    GpuRow,
    LibraryPathEntry,
    SystemReport,
    Tool,
    Toolkit,
)
from gpudoctor.model.probe import (
    CudaDevice,
    CudaDriver,
    LoadedLibrary,
    Package,
    Pin,
    Probe,
    ProbeOutcome,
    TorchBuild,
    TorchCuda,
)
from gpudoctor.model.readings import DeviceFacts, MigInstance, MigReading
from gpudoctor.present.environment import cudnn_text, sections
from gpudoctor.present.mask import Identity
from gpudoctor.present.paste import environment as markdown
from gpudoctor.render.environment import print_text

ANA = Identity(("ana",), "/home/ana", "node17")


def report(**changes) -> EnvironmentReport:
    probe = Probe(
        ProbeOutcome.OK,
        "/home/ana/venv/bin/python",
        "VIRTUAL_ENV=/home/ana/venv",
        1.5,
        torch=TorchBuild(
            "2.10.0", "cuda", cuda_version="12.8", cudnn_version=91002, arch_list=("sm_80", "sm_90")
        ),
        cuda=TorchCuda(False, "RuntimeError: No CUDA GPUs\nare available", ("old driver",)),
        driver=CudaDriver(
            "/usr/lib/libcuda.so.580.95.05",
            0,
            driver_version=(13, 0),
            devices=(CudaDevice(0, "H100", "GPU-1", "0000:01:00.0", (9, 0), 1 << 30),),
        ),
        libraries=(
            LoadedLibrary("libcudnn", "/x/libcudnn.so.9", "9.10.2.21", "nvidia-cudnn-cu12"),
        ),
        packages=(Package("triton", "3.6.0"), Package("requests", "2.32.0")),
        pins=(
            Pin("nvidia-cudnn-cu12", "==9.10.2.21", "torch", "9.8.0.87", False),
            Pin("triton", "==3.6.0", "torch", None, False),
        ),
    )
    mig = MigReading(True, (MigInstance("MIG-7", 1, 0, "1g.10gb", 10 << 30),))
    values = {
        "probe": probe,
        "driver": DriverReport(
            "580.95.05",
            cuda_version=(13, 0),
            gpus=(GpuRow(DeviceFacts("GPU-1", 0, "NVIDIA H100", "00000000:01:00.0"), mig),),
        ),
        "system": SystemReport(device_nodes=(DeviceNode("/dev/nvidia0", False, "crw-------"),)),
        "toolkit": Toolkit(
            Tool("nvcc", "/usr/bin/nvcc", "12.4.131"), "/usr/local/cuda", None, False
        ),
        "nvidia_smi": Tool("nvidia-smi"),
        "variables": {"CUDA_VISIBLE_DEVICES": "0,1", "EVIL": "\x1b[31mred"},
        "library_path": (LibraryPathEntry("/opt/cudnn", True, ("libcudnn.so.9",)),),
    }
    return EnvironmentReport(**{**values, **changes})


def rows(title: str, **changes) -> dict[str, str]:
    return next(dict(part.rows) for part in sections(report(**changes)) if part.title == title)


def text(width: int | None = None, **changes) -> str:
    out = io.StringIO()
    console = Console(
        file=out, width=width or 200, force_terminal=width is not None, color_system=None
    )
    print_text(report(**changes), console)
    return out.getvalue()


@pytest.mark.parametrize(
    ("number", "shown"), [(91002, "9.10.2 (91002)"), (8902, "8.9.2 (8902)"), (None, "–")]
)
def test_the_number_of_cudnn_is_shown_as_people_write_it(number, shown):
    assert cudnn_text(number) == shown


def test_the_three_cudas_are_told_apart():
    found = rows("CUDA")
    assert found["CUDA that torch was built with"] == "12.8"
    assert found["CUDA that the driver supports"] == "13.0"
    assert found["CUDA toolkit on PATH (nvcc)"] == "12.4.131 (/usr/bin/nvcc)"
    assert found["CUDA_HOME"] == "/usr/local/cuda, which does not exist"


def test_why_cuda_is_not_available_is_told():
    found = rows("CUDA")
    assert found["because"] == "RuntimeError: No CUDA GPUs\nare available"
    assert found["warning"] == "old driver"
    assert "because" in text()


def test_a_wheel_that_is_not_the_pinned_one_and_a_missing_one_are_said():
    found = rows("Wheels against torch's pins")
    assert found["nvidia-cudnn-cu12"] == "9.8.0.87, wanted ==9.10.2.21 (by torch): DIFFERS"
    assert found["triton"] == "–, wanted ==3.6.0 (by torch): MISSING"


def test_only_packages_that_matter_are_listed():
    assert rows("Packages") == {"triton": "3.6.0"}


def test_the_devices_are_listed_by_ordinal_and_by_nvml_with_mig():
    assert "GPU-1" in rows("Devices as CUDA numbers them")["cuda:0"]
    found = rows("GPUs by NVML")
    assert found["GPU 0"].endswith("compute capability –, –, MIG on")
    assert found["  MIG"] == "1g.10gb, MIG-7, GI 1 CI 0, 10.0 GiB"


def test_a_device_file_that_we_may_not_open_is_said():
    assert rows("Driver")["/dev/nvidia0"] == "may not be opened by us (crw-------)"


def test_a_probe_that_failed_is_the_first_that_is_said():
    failed = Probe(ProbeOutcome.IMPORT_FAILED, "/usr/bin/python3", "PATH", 0.1, "ImportError: x")
    shown = text(probe=failed)
    assert shown.splitlines()[1:3] == ["  Torch  import torch fails", "  Error  ImportError: x"]


def test_values_of_a_demo_are_marked():
    assert "demo" in rows("Driver", driver=DriverReport("1", source="demo"))["Simulated"]


def test_a_terminal_gets_a_hanging_indent_and_a_pipe_whole_lines():
    narrow = text(width=60).splitlines()
    assert max(map(len, narrow)) <= 60
    assert any(line.startswith(" " * 20) for line in narrow)
    assert "0000:01:00.0, compute capability 9.0, 1.0 GiB" in text()


def test_a_variable_cannot_drive_the_terminal():
    assert "\x1b[31m" not in text()
    assert "\\x1b[31mred" in text()


def test_markdown_can_be_pasted():
    shown = markdown(report(), ANA)
    assert "/home/ana" not in shown
    assert "~/venv/bin/python" in shown
    assert shown.count("```") % 2 == 0
    assert "nvidia-cudnn-cu12: 9.8.0.87, wanted" in shown


def test_a_fence_in_a_value_does_not_end_the_block():
    shown = markdown(report(variables={"TORCH_X": "``` <b>"}), ANA)
    assert "TORCH_X: ''' <b>" in shown
