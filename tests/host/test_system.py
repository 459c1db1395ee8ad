from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpudoctor.host import containers
from gpudoctor.host.limits import limits
from gpudoctor.host.system import cpu, device_nodes, os_name, pci_gpus, system_report


def write(root: Path, path: str, text: str = "") -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_an_empty_machine_is_reported_as_unknown_and_not_as_an_error(tmp_path):
    report = system_report({}, tmp_path)
    assert (report.os, report.kernel, report.wsl) == (None, None, False)
    assert report.container.kind is None
    assert report.scheduler.name is None
    assert report.device_nodes == ()
    assert report.pci_gpus == ()
    assert report.limits.shm_total_bytes is None
    assert report.limits.cgroup_memory_bytes is None


def test_the_distribution_names_itself(tmp_path):
    write(tmp_path, "usr/lib/os-release", 'NAME=x\nPRETTY_NAME="Ubuntu 24.04.1 LTS"\n')
    assert os_name(tmp_path) == "Ubuntu 24.04.1 LTS"


def test_device_files_are_listed_with_mode_and_owner(tmp_path):
    write(tmp_path, "dev/nvidia0").chmod(0o666)
    write(tmp_path, "dev/nvidiactl").chmod(0o600)
    write(tmp_path, "dev/nvidia-uvm")
    write(tmp_path, "dev/nvidia-caps/nvidia-cap1")
    write(tmp_path, "dev/null")
    nodes = {node.path: node for node in device_nodes(tmp_path)}
    assert sorted(nodes) == [
        "/dev/nvidia-caps/nvidia-cap1",
        "/dev/nvidia-uvm",
        "/dev/nvidia0",
        "/dev/nvidiactl",
    ]
    assert nodes["/dev/nvidia0"].openable
    assert nodes["/dev/nvidia0"].mode == "-rw-rw-rw-"
    assert nodes["/dev/nvidiactl"].openable is os.access(tmp_path / "dev/nvidiactl", os.W_OK)


def pci(root: Path, bus: str, vendor: str, kind: str, driver: str | None) -> None:
    folder = f"sys/bus/pci/devices/{bus}"
    write(root, f"{folder}/vendor", vendor + "\n")
    write(root, f"{folder}/class", kind + "\n")
    write(root, f"{folder}/device", "0x2335\n")
    if driver:
        target = root / "sys/bus/pci/drivers" / driver
        target.mkdir(parents=True, exist_ok=True)
        (root / folder / "driver").symlink_to(target)


def test_only_nvidias_display_and_3d_controllers_are_gpus(tmp_path):
    pci(tmp_path, "0000:01:00.0", "0x10de", "0x030200", "nvidia")
    pci(tmp_path, "0000:02:00.0", "0x10de", "0x030000", None)
    pci(tmp_path, "0000:03:00.0", "0x10de", "0x068000", "nvidia-nvswitch")
    pci(tmp_path, "0000:04:00.0", "0x1002", "0x030000", "amdgpu")
    rows = [(gpu.bus_id, gpu.device_id, gpu.driver) for gpu in pci_gpus(tmp_path)]
    assert rows == [("0000:01:00.0", "0x2335", "nvidia"), ("0000:02:00.0", "0x2335", None)]


def test_the_processor_and_the_memory_are_read(tmp_path):
    write(tmp_path, "proc/cpuinfo", "processor : 0\nmodel name\t: Fancy CPU @ 3 GHz\n")
    write(tmp_path, "proc/meminfo", "MemTotal:       1024 kB\nMemFree: 1 kB\n")
    found = cpu(tmp_path)
    assert found.model == "Fancy CPU @ 3 GHz"
    assert found.memory_total_bytes == 1024 * 1024
    assert found.usable == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("files", "environ", "kind"),
    [
        ({".dockerenv": ""}, {}, "docker"),
        ({"run/.containerenv": ""}, {}, "podman"),
        ({"proc/self/cgroup": "0::/kubepods/besteffort/pod1/abc"}, {}, "kubernetes"),
        ({"proc/1/cgroup": "1:name=systemd:/docker/0a1b"}, {}, "docker"),
        ({"run/systemd/container": "systemd-nspawn\n"}, {}, "systemd-nspawn"),
        ({}, {"APPTAINER_CONTAINER": "/x.sif"}, "apptainer"),
        ({".dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({}, {"container": "lxc"}, "lxc"),
        ({"proc/self/cgroup": "0::/user.slice/session-1.scope"}, {}, None),
    ],
)
def test_a_container_is_known_by_what_it_leaves(tmp_path, files, environ, kind):
    for path, text in files.items():
        write(tmp_path, path, text)
    found = containers.container(environ, tmp_path)
    assert found.kind == kind
    assert bool(found.evidence) is (kind is not None)


def test_mounted_driver_files_show_the_container_toolkit(tmp_path):
    write(tmp_path, ".dockerenv")
    assert containers.container({}, tmp_path).nvidia_toolkit is False
    mount = (
        "711 690 8:1 /usr/lib/libcuda.so.580.95 /usr/lib/libcuda.so.580.95 ro,nosuid - ext4 x rw\n"
    )
    write(tmp_path, "proc/self/mountinfo", mount)
    assert containers.container({}, tmp_path).nvidia_toolkit is True


def test_a_batch_job_is_named_with_its_variables_about_gpus():
    environ = {
        "SLURM_JOB_ID": "42",
        "SLURM_JOB_GPUS": "1",
        "SLURM_JOB_NODELIST": "n[1-4]",
        "SLURM_STEP_GPUS": "1",
        "PATH": "/bin",
    }
    found = containers.scheduler(environ)
    assert (found.name, found.job_id) == ("slurm", "42")
    assert found.variables == {
        "SLURM_JOB_GPUS": "1",
        "SLURM_JOB_ID": "42",
        "SLURM_STEP_GPUS": "1",
    }


def test_the_kernel_of_wsl_says_so(tmp_path):
    write(tmp_path, "proc/sys/kernel/osrelease", "5.15.153.1-microsoft-standard-WSL2\n")
    assert containers.wsl(tmp_path)


def test_the_tightest_memory_limit_on_the_way_to_the_top_holds(tmp_path):
    write(tmp_path, "proc/self/cgroup", "0::/job/step\n")
    write(tmp_path, "sys/fs/cgroup/job/memory.max", "1000\n")
    write(tmp_path, "sys/fs/cgroup/job/step/memory.max", "max\n")
    write(tmp_path, "sys/fs/cgroup/job/step/cpu.max", "150000 100000\n")
    found = limits(tmp_path)
    assert found.cgroup_memory_bytes == 1000
    assert found.cgroup_cpus == 1.5


def test_a_version_1_control_group_is_read_and_its_no_limit_is_none(tmp_path):
    write(tmp_path, "proc/self/cgroup", "4:memory:/a\n3:cpu,cpuacct:/a\n")
    write(tmp_path, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n")
    assert limits(tmp_path).cgroup_memory_bytes is None
    write(tmp_path, "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "2048\n")
    assert limits(tmp_path).cgroup_memory_bytes == 2048
    write(tmp_path, "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n")
    write(tmp_path, "sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n")
    assert limits(tmp_path).cgroup_cpus is None


def test_shared_memory_is_measured_where_it_is():
    found = limits()
    facts = os.statvfs("/dev/shm")
    assert found.shm_total_bytes == facts.f_blocks * facts.f_frsize
