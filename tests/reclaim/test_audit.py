from __future__ import annotations

import json
import os
import stat
import subprocess
import sys

from gpudoctor.model.injection import CacheReport
from gpudoctor.reclaim.audit import NAME, about_to_visit, keep
from tests.reclaim.targets import WAITS, started

REPORT = CacheReport(7, "emptied", None, 0.2, 0.001, way="thread")


def test_every_visit_leaves_one_line_that_only_its_user_reads(tmp_path):
    visited = about_to_visit(os.getpid(), force=False, deep=True)
    for _ in range(2):
        assert keep(visited, REPORT, tmp_path / "state") == str(tmp_path / "state" / NAME)
    file = tmp_path / "state" / NAME
    first, second = map(json.loads, file.read_text().splitlines())
    assert first == second
    assert first["visited"]["pid"] == os.getpid()
    assert first["visited"]["start_ticks"] > 0
    assert first["visited"]["deep"] is True
    assert first["report"]["way"] == "thread"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_state_folder_that_cannot_be_written_stops_nobody(tmp_path):
    (tmp_path / "state").write_text("a file")
    visited = about_to_visit(os.getpid(), force=False, deep=False)
    assert keep(visited, REPORT, tmp_path / "state") is None


def test_a_link_in_place_of_the_file_is_not_followed(tmp_path):
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    visited = about_to_visit(os.getpid(), force=False, deep=False)
    assert keep(visited, REPORT, tmp_path) is None
    assert not (tmp_path / "elsewhere").exists()


def test_the_command_tells_on_stderr_and_in_json_what_it_kept(children, tmp_path):
    pid = started(children, WAITS["sleeps"])
    command = [sys.executable, "-m", "gpudoctor", "empty-cache", str(pid), "--yes", "--json"]
    env = os.environ | {"XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)
    kept = tmp_path / "gpudoctor" / NAME
    told = json.loads(done.stdout)
    assert told["audit"]["file"] == str(kept)
    assert told["audit"]["uid"] == os.getuid()
    line = next(one for one in done.stderr.splitlines() if one.startswith("audit: "))
    assert f"entered process {pid} by " in line
    assert str(kept) in line
    entry = json.loads(kept.read_text())
    assert entry["visited"]["start_ticks"] == told["audit"]["start_ticks"]
    assert "python" in entry["visited"]["command"][0]
