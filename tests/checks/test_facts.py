"""Facts read from a made-up file system."""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path

import pytest

from gpudoctor.checks.facts.distributions import read_distributions
from gpudoctor.checks.facts.kernel_log import read_kernel_log
from gpudoctor.checks.facts.machine import cpu_list, open_problem, read_machine


def put(root: Path, path: str, text: str = "") -> Path:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


def pci(
    root: Path, address: str, kind: str = "0x030200", vendor: str = "0x10de", **more: str
) -> None:
    for name, text in {"class": kind, "vendor": vendor, **more}.items():
        put(root, f"sys/bus/pci/devices/{address}/{name}", text + "\n")


def test_an_empty_file_system_tells_nothing(tmp_path):
    facts = read_machine(tmp_path)
    assert facts.pci_gpus == ()
    assert facts.device_nodes == ()
    assert facts.network_interfaces is None
    assert facts.kernel.module_built is None
    assert facts.kernel.secure_boot is None
    assert facts.kernel.iommu_groups is None
    assert not facts.kernel.wsl


def test_only_nvidias_display_functions_count_as_gpus(tmp_path):
    pci(tmp_path, "0000:01:00.0", numa_node="1", local_cpulist="0-3,8")
    pci(tmp_path, "0000:01:00.1", kind="0x040300")
    pci(tmp_path, "0000:02:00.0", vendor="0x1002", kind="0x030000")
    driver = tmp_path / "sys/bus/pci/drivers/nouveau"
    driver.mkdir(parents=True)
    (tmp_path / "sys/bus/pci/devices/0000:01:00.0/driver").symlink_to(driver)
    (found,) = read_machine(tmp_path).pci_gpus
    assert found.address == "0000:01:00.0"
    assert found.driver == "nouveau"
    assert found.numa_node == 1
    assert found.local_cpus == {0, 1, 2, 3, 8}


def test_a_numa_node_of_minus_one_is_unknown(tmp_path):
    pci(tmp_path, "0000:01:00.0", numa_node="-1")
    assert read_machine(tmp_path).pci_gpus[0].numa_node is None


def test_the_kernel_module_is_looked_up_where_depmod_lists_it(tmp_path):
    put(tmp_path, "proc/sys/kernel/osrelease", "6.8.0-45-generic\n")
    listing = put(tmp_path, "lib/modules/6.8.0-45-generic/modules.dep", "kernel/fs/ext4.ko.zst:\n")
    assert read_machine(tmp_path).kernel.module_built is False
    listing.write_text("updates/dkms/nvidia.ko.zst:\n")
    assert read_machine(tmp_path).kernel.module_built is True


def test_secure_boot_is_the_last_byte_of_the_variable(tmp_path):
    name = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    place = put(tmp_path, name)
    place.write_bytes(b"\x06\x00\x00\x00\x01")
    assert read_machine(tmp_path).kernel.secure_boot is True
    place.write_bytes(b"\x06\x00\x00\x00\x00")
    assert read_machine(tmp_path).kernel.secure_boot is False


def test_the_firmware_must_be_of_the_loaded_version(tmp_path):
    put(tmp_path, "sys/module/nvidia/version", "580.95.05\n")
    put(tmp_path, "lib/firmware/nvidia/570.10/gsp_ga10x.bin")
    assert read_machine(tmp_path).kernel.firmware_present is False
    put(tmp_path, "lib/firmware/nvidia/580.95.05/gsp_ga10x.bin")
    assert read_machine(tmp_path).kernel.firmware_present is True


def test_device_files_are_opened_and_other_files_left_alone(tmp_path):
    for name in ("nvidia0", "nvidiactl", "nvidia-uvm", "nvidia-caps", "nvidia-modeset", "null"):
        put(tmp_path, f"dev/{name}")
    asked = []

    def opens(path: Path) -> str | None:
        asked.append(path.name)
        return "EPERM" if path.name == "nvidia0" else None

    facts = read_machine(tmp_path, opens)
    assert sorted(asked) == ["nvidia-uvm", "nvidia0", "nvidiactl"]
    assert facts.node("/dev/nvidia0").problem == "EPERM"
    assert facts.node("/dev/nvidiactl").problem is None


def test_a_file_that_cannot_be_opened_names_its_error(tmp_path):
    assert open_problem(tmp_path / "absent") == "ENOENT"
    assert open_problem(tmp_path) == "EISDIR"
    assert open_problem(put(tmp_path, "there")) is None


@pytest.mark.parametrize(
    ("written", "cpus"),
    [("0-2", {0, 1, 2}), ("7", {7}), ("0,4-5", {0, 4, 5}), ("", None), (None, None), ("x-y", None)],
)
def test_lists_of_cpus_are_read_as_the_kernel_writes_them(written, cpus):
    assert cpu_list(written) == cpus


KMSG = """\
6,1,100,-;Linux version 6.8.0
4,2,200,-;NVRM: Xid (PCI:0000:3b:00): 31, pid=4711, name=python, Ch 00000008
 SUBSYSTEM=pci
 DEVICE=+pci:0000:3b:00.0
4,3,300,-;NVRM: Xid (PCI:0000:3b:00.0): 154, GPU recovery action changed
"""


def test_xids_are_read_from_the_kernel_log(tmp_path):
    log = read_kernel_log(put(tmp_path, "kmsg", KMSG), journal=False)
    assert [(x.pci, x.code) for x in log.xids()] == [("0000:3b:00", 31), ("0000:3b:00.0", 154)]
    assert len(log.lines) == 2
    assert log.matching("recovery action")


def test_a_line_of_the_kernel_log_says_when_it_was_written(tmp_path):
    written = int((time.monotonic() - 3600) * 1e6)
    log = read_kernel_log(
        put(tmp_path, "kmsg", f"4,2,{written},-;NVRM: Xid (PCI:1): 13, x\n"), False
    )
    when = dt.datetime.fromisoformat(log.lines[0].split(" ")[0])
    assert 3500 < time.time() - when.timestamp() < 3700


def test_a_log_that_may_not_be_read_is_not_an_empty_one(tmp_path):
    assert read_kernel_log(tmp_path / "absent", journal=False) is None


def package(folder: Path, name: str, version: str, *requires: str, installer: str = "pip") -> None:
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    lines = "".join(f"Requires-Dist: {line}\n" for line in requires)
    put(folder, f"{name.replace('-', '_')}-{version}.dist-info/METADATA", head + lines)
    put(folder, f"{name.replace('-', '_')}-{version}.dist-info/INSTALLER", installer + "\n")


def test_of_two_distributions_of_one_name_the_first_folder_wins(tmp_path):
    user, site = tmp_path / "user", tmp_path / "site"
    package(user, "torch", "2.8.0")
    package(site, "torch", "2.13.0", "nvidia-cudnn-cu13==9.20.0.48")
    package(site, "Nvidia.ML-py", "13.0", installer="uv")
    found = read_distributions([str(user), str(site), str(user), "", str(tmp_path / "gone")])
    assert [entry.version for entry in found.all("torch")] == ["2.8.0", "2.13.0"]
    assert found.get("torch").version == "2.8.0"
    assert found.get("nvidia_ml_py").installer == "uv"
    assert found.get("absent") is None


def test_a_broken_distribution_does_not_hide_the_others(tmp_path):
    put(tmp_path, "broken-1.dist-info/METADATA", "")
    (tmp_path / "empty-1.dist-info").mkdir()
    package(tmp_path, "torch", "2.13.0")
    assert read_distributions([str(tmp_path)]).get("torch") is not None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_a_closed_file_is_refused(tmp_path):
    place = put(tmp_path, "closed")
    place.chmod(0)
    assert open_problem(place) == "EACCES"
