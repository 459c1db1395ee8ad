from __future__ import annotations

import os

import pytest

from gpudoctor.host.owners import OwnerReader, parse_owner
from gpudoctor.model.owner import Owner
from tests.builders import process

ID = "0123456789abcdef" * 4
POD = "8a1f6c2e-1b2c-4d3e-9f40-0123456789ab"


@pytest.mark.parametrize(
    ("cgroup", "owner"),
    [
        ("0::/user.slice/user-1000.slice/session-3.scope\n", Owner()),
        ("", Owner()),
        (f"0::/system.slice/docker-{ID}.scope\n", Owner(container=ID[:12])),
        (
            f"0::/kubepods.slice/kubepods-pod{POD.replace('-', '_')}.slice/cri-containerd-{ID}.scope\n",
            Owner(pod_uid=POD, container=ID[:12]),
        ),
        (
            f"11:memory:/kubepods/besteffort/pod{POD}/{ID}\n4:cpu:/kubepods/besteffort/pod{POD}\n",
            Owner(pod_uid=POD, container=ID[:12]),
        ),
        # As seen from within a container with a control group namespace of its own.
        (f"0::/../../pod{POD}/{ID}\n", Owner(pod_uid=POD)),
        (
            f"0::/kubepods/pod{POD.replace('-', '')}/{ID}\n",
            Owner(None, POD.replace("-", ""), ID[:12]),
        ),
        (
            "0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\n",
            Owner(slurm_job="4711"),
        ),
        ("0::/system.slice/podman-pause.service\n", Owner()),
    ],
)
def test_a_control_group_names_the_owner(cgroup, owner):
    assert parse_owner(cgroup) == owner


@pytest.fixture
def proc(tmp_path):
    def write(pid, text):
        (tmp_path / str(pid)).mkdir(exist_ok=True)
        (tmp_path / str(pid) / "cgroup").write_text(text)

    write.root = tmp_path
    return write


def test_a_process_is_read_once_and_again_after_a_minute(proc):
    now = 100.0
    reader = OwnerReader(proc.root, lambda: now)
    proc(7, "0::/slurm/job_1/step_0\n")
    assert reader.of([process(7)]) == {7: Owner(slurm_job="1")}
    proc(7, "0::/slurm/job_2/step_0\n")
    assert reader.of([process(7)])[7].slurm_job == "1"
    # A pid that is used again is another process.
    assert reader.of([process(7, started=5.0)])[7].slurm_job == "2"
    proc(7, "0::/slurm/job_3/step_0\n")
    now = 160.0
    assert reader.of([process(7, started=5.0)])[7].slurm_job == "3"


def test_what_is_gone_is_forgotten_and_what_cannot_be_seen_is_not_read(proc):
    reader = OwnerReader(proc.root)
    proc(7, "0::/slurm/job_1/step_0\n")
    assert reader.of([process(7, visible=False), process(8)]) == {8: Owner()}
    assert reader.of([]) == {}
    assert reader._known == {}


def test_our_own_control_group_is_read():
    assert os.getpid() in OwnerReader().of([process(os.getpid())])
