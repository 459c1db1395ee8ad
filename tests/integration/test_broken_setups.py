"""`gpudoctor check` on set-ups that are really broken: real interpreters, libraries, drivers that hang."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpudoctor.checks.gather import Wanted, gather
from gpudoctor.checks.registry import registered
from gpudoctor.checks.runner import run_checks
from tests.builders import snapshot
from tests.nvml_sim.presets import mig_a100

pytestmark = pytest.mark.integration

# A sick machine must be told about within this time, whatever hangs.
MOST_SECONDS = 15.0
LIMIT = "4"


class Report:
    """What one run said."""

    def __init__(self, done: subprocess.CompletedProcess, seconds: float) -> None:
        assert done.stdout, done.stderr
        self.code = done.returncode
        self.seconds = seconds
        self.answer = json.loads(done.stdout)
        self.findings = {row["id"]: row for row in self.answer["findings"]}
        self.order = [row["id"] for row in self.answer["findings"]]
        broken = [c for c in self.answer["checks"] if c["outcome"] in ("crashed", "timed_out")]
        assert not broken, broken
        assert seconds < MOST_SECONDS

    def text(self, name: str) -> str:
        row = self.findings[name]
        return "\n".join(
            [row["summary"], *row["evidence"], *(row["fix"] or {}).get("commands", [])]
        )


def check(env, *arguments: str, prefix: tuple[str, ...] = ()) -> Report:
    command = [*prefix, sys.executable, "-m", "gpudoctor", "check", "--json", *arguments]
    begun = time.monotonic()
    done = subprocess.run(command, env=dict(env), capture_output=True, text=True, timeout=60)
    return Report(done, time.monotonic() - begun)


@pytest.fixture(scope="module")
def venv(tmp_path_factory) -> Path:
    """A virtual environment with nothing in it, copied by each test that changes one."""
    folder = tmp_path_factory.mktemp("venv") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


@pytest.fixture
def bare(venv, tmp_path) -> Path:
    return shutil.copytree(venv, tmp_path / "venv", symlinks=True)


def site(folder: Path) -> Path:
    return next((folder / "lib").glob("python3*/site-packages"))


def distribution(place: Path, name: str, version: str, *requires: str) -> None:
    info = place / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = "".join(f"Requires-Dist: {line}\n" for line in requires)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{lines}"
    )


def module(place: Path, source: str, name: str = "torch") -> None:
    (place / name).mkdir(parents=True)
    (place / name / "__init__.py").write_text(source)


def program(folder: Path, name: str, source: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!{sys.executable}\n{source}\n")
    (folder / name).chmod(0o755)


def test_an_interpreter_without_torch(nvml_sim, bare):
    report = check(nvml_sim.env, "--python", str(bare))
    assert str(bare) in report.text("torch.missing")
    assert "torch.import" not in report.findings


def test_a_torch_for_the_cpu_on_a_machine_with_gpus(nvml_sim):
    report = check(nvml_sim.env, "--python", sys.executable)
    assert report.code == 1
    assert "built without CUDA" in report.text("torch.cpu-build")
    assert "--index-url https://download.pytorch.org/whl/cu1" in report.text("torch.cpu-build")
    consequence = report.findings["torch.unavailable"]
    assert "torch.cpu-build" in consequence["caused_by"]
    assert report.order.index("torch.cpu-build") < report.order.index("torch.unavailable")


def test_an_import_of_torch_that_never_returns(nvml_sim, bare):
    module(site(bare), "import time; time.sleep(600)")
    report = check(nvml_sim.env, "--python", str(bare), "--timeout", LIMIT)
    assert "did not return" in report.text("torch.import")


def test_an_import_of_torch_that_raises(nvml_sim, bare):
    module(site(bare), "raise OSError('libcudnn.so.9: cannot open shared object file')")
    report = check(nvml_sim.env, "--python", str(bare))
    assert "cuDNN is missing" in report.text("torch.import")


def test_an_import_of_torch_that_kills_python(nvml_sim, bare):
    module(site(bare), "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    report = check(nvml_sim.env, "--python", str(bare))
    assert "SIGSEGV" in report.text("torch.import")


def test_a_folder_named_torch_on_the_path(nvml_sim, bare, tmp_path):
    (tmp_path / "work" / "torch").mkdir(parents=True)
    env = nvml_sim.env | {"PYTHONPATH": str(tmp_path / "work")}
    report = check(env, "--python", str(bare))
    assert "folder named torch" in report.text("torch.import")


def test_a_stale_wheel_of_nvidia(nvml_sim, bare):
    place = site(bare)
    module(place, "__version__ = '2.13.0'\nclass version: cuda = '13.0'; hip = None")
    distribution(
        place, "torch", "2.13.0", "nvidia-cudnn-cu13==9.20.0.48", "nvidia-nccl-cu13==2.29.7"
    )
    distribution(place, "nvidia-cudnn-cu13", "8.9.2.26")
    report = check(nvml_sim.env, "--python", str(bare))
    rows = [row for row in report.answer["findings"] if row["id"] == "packages.pins"]
    told = " ".join(row["summary"] for row in rows)
    assert "nvidia-cudnn-cu13 8.9.2.26 is installed" in told
    assert "nvidia-nccl-cu13 is not installed" in told


def test_a_torchvision_of_another_torch(nvml_sim, bare):
    place = site(bare)
    module(place, "__version__ = '2.13.0'")
    distribution(place, "torch", "2.13.0")
    distribution(place, "torchvision", "0.21.0", "numpy", "torch==2.6.0")
    report = check(nvml_sim.env, "--python", str(bare))
    assert "built for torch==2.6.0" in report.text("packages.torchvision")


def test_two_torches_on_the_search_path(nvml_sim, bare, tmp_path):
    distribution(site(bare), "torch", "2.13.0")
    distribution(tmp_path / "old", "torch", "2.1.0")
    module(tmp_path / "old", "__version__ = '2.1.0'")
    env = nvml_sim.env | {"PYTHONPATH": str(tmp_path / "old")}
    report = check(env, "--python", str(bare))
    assert "2 torches are installed; 2.1.0 comes first" in report.text("packages.duplicate-torch")


def test_a_cudnn_on_the_library_path(nvml_sim, bare, tmp_path):
    folder = tmp_path / "cuda" / "lib64"
    folder.mkdir(parents=True)
    (folder / "libcudnn.so.8").touch()
    module(site(bare), "__version__ = '2.13.0'\nclass version: cuda = '13.0'; hip = None")
    distribution(site(bare), "torch", "2.13.0", "nvidia-cudnn-cu13==9.20.0.48")
    distribution(site(bare), "nvidia-cudnn-cu13", "9.20.0.48")
    env = nvml_sim.env | {"LD_LIBRARY_PATH": f"{folder}:{nvml_sim.library}"}
    report = check(env, "--python", str(bare))
    assert "libcudnn.so.8" in report.text("libraries.path")
    assert str(folder) in report.text("libraries.path")
    assert "packages.pins" not in report.findings


def test_a_cudnn_that_was_loaded_in_place_of_torchs(nvml_sim, bare, tmp_path):
    folder = tmp_path / "cuda" / "lib64"
    folder.mkdir(parents=True)
    shutil.copy(nvml_sim.library / "libnvidia-ml.so.1", folder / "libcudnn.so.8")
    source = "import ctypes\nctypes.CDLL('libcudnn.so.8')\n__version__ = '2.13.0'\n"
    module(site(bare), source + "class version: cuda = '13.0'; hip = None")
    distribution(site(bare), "torch", "2.13.0", "nvidia-cudnn-cu13==9.20.0.48")
    env = nvml_sim.env | {"LD_LIBRARY_PATH": f"{folder}:{nvml_sim.library}"}
    report = check(env, "--python", str(bare))
    assert f"{folder}/libcudnn.so.8" in report.text("libraries.cudnn")


def test_an_nvidia_smi_that_hangs(nvml_sim, bare, tmp_path):
    program(tmp_path / "bin", "nvidia-smi", "import time; time.sleep(600)")
    env = nvml_sim.env | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    report = check(env, "--python", str(bare), "--timeout", "8")
    assert "no answer within" in report.text("driver.nvidia-smi")


def test_a_driver_that_hangs_at_its_start(nvml_sim, bare):
    nvml_sim.machine.hang("nvmlInitWithFlags", 600)
    report = check(nvml_sim.env, "--python", str(bare), "--timeout", LIMIT)
    assert report.code == 1
    assert "does not answer" in report.text("driver.hangs")


def test_everything_hangs_at_once(nvml_sim, fake_libcuda, bare, tmp_path):
    nvml_sim.machine.hang("*", 600)
    module(site(bare), "import time; time.sleep(600)")
    for name in ("nvidia-smi", "nvcc", "g++"):
        program(tmp_path / "bin", name, "import time; time.sleep(600)")
    env = libcuda(nvml_sim, fake_libcuda, FAKE_HANG="1", PATH=str(tmp_path / "bin"))
    report = check(env, "--python", str(bare))
    assert {"driver.hangs", "torch.import", "driver.nvidia-smi"} <= set(report.findings)


def test_one_gpu_that_hangs_among_eight(nvml_sim, bare):
    nvml_sim.machine.hang("nvmlDeviceGetTemperature", 600, gpu=3)
    nvml_sim.machine.hang("nvmlDeviceGetTemperatureV", 600, gpu=3)
    report = check(nvml_sim.env, "--python", str(bare), "--timeout", "8")
    stale = [row["subject"] for row in report.answer["findings"] if row["id"] == "driver.hangs"]
    assert stale == ["GPU 3"]


def test_a_gpu_that_fell_off_the_bus(nvml_sim, bare):
    nvml_sim.machine.lose(2)
    report = check(nvml_sim.env, "--python", str(bare))
    assert report.findings["driver.gpu-lost"]["subject"] == "GPU 2"


def test_a_driver_that_was_updated_and_not_reloaded(nvml_sim, bare):
    nvml_sim.machine.fail_init(18)
    report = check(nvml_sim.env, "--python", str(bare))
    assert "does not fit" in report.text("driver.version-mismatch")


def test_mig_without_an_instance(nvml_sim, bare):
    machine = mig_a100()
    machine.gpus[0].migs.clear()
    nvml_sim.use(machine)
    report = check(nvml_sim.env, "--python", str(bare))
    assert "no MIG device exists" in report.text("mig.no-instance")


def libcuda(nvml_sim, folder: Path, **answers: str) -> dict[str, str]:
    """The environment in which libcuda.so.1 comes from `folder`."""
    return nvml_sim.env | answers | {"LD_LIBRARY_PATH": f"{folder}:{nvml_sim.library}"}


def test_a_fabric_that_is_not_ready(nvml_sim, fake_libcuda, bare):
    env = libcuda(nvml_sim, fake_libcuda, FAKE_CUINIT="802")
    report = check(env, "--python", str(bare))
    assert "nvidia-fabricmanager-" in report.text("driver.fabric-manager")
    assert "driver.fabric-manager" in report.findings["cuda.init"]["caused_by"]


@pytest.mark.parametrize(
    ("folder", "code", "name"),
    [("compat", "804", "cuda.compat-library"), ("stubs", "34", "cuda.stub-library")],
)
def test_a_libcuda_that_is_not_the_drivers(
    nvml_sim, fake_libcuda, bare, tmp_path, folder, code, name
):
    place = shutil.copytree(fake_libcuda, tmp_path / folder)
    report = check(libcuda(nvml_sim, place, FAKE_CUINIT=code), "--python", str(bare))
    assert str(place) in report.text(name)
    assert report.findings["cuda.init"]["caused_by"] == [name]


def test_a_cuda_that_hangs_at_its_start(nvml_sim, fake_libcuda, bare):
    env = libcuda(nvml_sim, fake_libcuda, FAKE_HANG="1")
    module(site(bare), "__version__ = '2.13.0'\nclass version: cuda = '13.0'; hip = None")
    report = check(env, "--python", str(bare), "--timeout", LIMIT)
    assert "did not answer" in report.text("torch.probe")


@pytest.mark.parametrize(
    ("value", "name", "words"),
    [
        ("0,9,1", "visible.truncated", "'9' ends the list"),
        ("all", "visible.foreign-syntax", "NVIDIA_VISIBLE_DEVICES"),
        ("", "visible.hides-all", "hides all 8"),
        ("3,3", "visible.duplicate", "second time"),
    ],
)
def test_a_variable_that_hides_gpus(nvml_sim, bare, value, name, words):
    report = check(nvml_sim.env | {"CUDA_VISIBLE_DEVICES": value}, "--python", str(bare))
    assert words in report.text(name)


def test_a_small_dev_shm(nvml_sim, bare):
    prefix = (
        "unshare",
        "-rm",
        "sh",
        "-c",
        'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$@"',
        "sh",
    )
    if subprocess.run([*prefix, "true"], capture_output=True, timeout=10).returncode != 0:
        pytest.skip("no right to a mount namespace of our own")
    report = check(nvml_sim.env, "--python", str(bare), prefix=prefix)
    assert "64.0 MiB" in report.text("container.shared-memory")


def looked_at(root: Path, look=snapshot) -> dict[str, str]:
    """The findings on a machine whose sysfs and /dev lie below `root`."""
    facts = gather(Wanted(look, None, {"PATH": "/nowhere"}, root=root))
    return {f.id: f.summary for f in run_checks(registered(), facts).findings}


def file(root: Path, path: str, text: str = "") -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def test_no_device_file_for_unified_memory(tmp_path):
    file(tmp_path, "dev/nvidiactl")
    file(tmp_path, "dev/nvidia0")
    assert "/dev/nvidia-uvm does not exist" in looked_at(tmp_path)["driver.uvm"]


def test_a_gpu_that_nouveau_holds(tmp_path):
    gpu = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    for name, text in {"vendor": "0x10de", "class": "0x030000"}.items():
        file(gpu, name, text)
    (tmp_path / "sys/bus/pci/drivers/nouveau").mkdir(parents=True)
    (gpu / "driver").symlink_to(tmp_path / "sys/bus/pci/drivers/nouveau")
    assert "nouveau" in looked_at(tmp_path)["driver.nouveau"]


def test_an_xid_in_the_kernel_log(tmp_path):
    file(tmp_path, "dev/kmsg", "4,1,1,-;NVRM: Xid (PCI:0000:01:00): 48, pid=1, DBE\n")
    assert "Xid 48" in looked_at(tmp_path)["xid.log"]


def test_a_machine_without_a_driver_is_told_so_and_nothing_crashes(bare):
    env = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
    report = check(env, "--python", str(bare))
    assert not any(name.startswith(("clocks.", "ecc.")) for name in report.findings)


def test_neither_torch_nor_cuda_enters_our_own_process(nvml_sim, fake_libcuda):
    code = (
        "import sys; from gpudoctor.cli.main import run; "
        f"run(['check', '--json', '--python', {sys.executable!r}]); "
        "maps = open('/proc/self/maps').read(); "
        "sys.exit('torch' in sys.modules or 'libcuda' in maps or 'libtorch' in maps)"
    )
    env = libcuda(nvml_sim, fake_libcuda)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, timeout=60)
    assert json.loads(done.stdout)["checks"]
    assert done.returncode == 0


def test_looking_changes_no_file(bare, tmp_path):
    module(site(bare), "__version__ = '2.13.0'\nclass version: cuda = '13.0'; hip = None")
    script = tmp_path / "work" / "train.py"
    script.parent.mkdir()
    script.write_text("import torch\n")
    env = os.environ | {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path / "tmp")}
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    before = sorted(tmp_path.rglob("*"))
    check(env, str(script), "--python", str(bare))
    assert sorted(tmp_path.rglob("*")) == before
