from __future__ import annotations

import os

import pytest

from gpudoctor.runner.cpus import _quota, cpu_facts


def group(tmp_path, rows, files):
    (tmp_path / "own").write_text(rows)
    for name, text in files.items():
        path = tmp_path / "fs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return _quota(str(tmp_path / "own"), str(tmp_path / "fs"))


@pytest.mark.parametrize(
    ("rows", "files", "quota"),
    [
        ("0::/a/b\n", {"a/cpu.max": "150000 100000\n", "a/b/cpu.max": "max 100000\n"}, 1.5),
        ("0::/a/b\n", {"cpu.max": "200000 100000\n"}, 2.0),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        (
            "4:cpu,cpuacct:/pod\n3:cpuset:/\n0::/\n",
            {
                "cpu,cpuacct/pod/cpu.cfs_quota_us": "300000",
                "cpu,cpuacct/pod/cpu.cfs_period_us": "100000",
            },
            3.0,
        ),
        (
            "1:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            None,
        ),
        ("", {}, None),
    ],
)
def test_the_least_that_a_control_group_on_the_way_up_allows_is_the_quota(
    tmp_path, rows, files, quota
):
    assert group(tmp_path, rows, files) == quota


def test_there_are_no_more_cores_than_cpus(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "x")
    facts = cpu_facts()
    assert 1 <= facts["cores"] <= len(os.sched_getaffinity(0))
    assert facts["omp_num_threads"] == "3"
    assert facts["local_ranks"] is None
