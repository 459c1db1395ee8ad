from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

from gpudoctor.daemon.ledger import Ledger
from gpudoctor.daemon.textfile import Textfile
from tests.builders import snapshot

COMMAND = [sys.executable, "-m", "gpudoctor", "--demo", "serve", "--interval", "0.2"]


def test_the_file_is_replaced_whole_and_readable_by_all(tmp_path):
    ledger = Ledger(interval_s=1.0)
    file = Textfile(tmp_path / "gpudoctor.prom", ledger)
    file.write()
    assert "gpudoctor_sampling_up 0" in (tmp_path / "gpudoctor.prom").read_text()
    ledger.add(snapshot())
    file.write()
    text = (tmp_path / "gpudoctor.prom").read_text()
    assert "gpudoctor_gpu_power_usage_watts{" in text
    assert (tmp_path / "gpudoctor.prom").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["gpudoctor.prom"]


def test_nothing_in_the_file_collides_with_node_exporters_own_metrics(tmp_path):
    ledger = Ledger(interval_s=1.0)
    ledger.add(snapshot())
    Textfile(tmp_path / "gpudoctor.prom", ledger).write()
    names = re.findall(r"^# TYPE (\w+)", (tmp_path / "gpudoctor.prom").read_text(), re.MULTILINE)
    assert len(names) > 20
    assert all(name.startswith("gpudoctor_") for name in names)
    assert b"process_resident_memory_bytes" in ledger.metrics()


def test_a_folder_that_goes_away_and_comes_back_is_survived(tmp_path):
    folder = tmp_path / "textfiles"
    ledger = Ledger(interval_s=0.05)
    file = Textfile(folder / "gpudoctor.prom", ledger)
    file.start()
    time.sleep(0.2)
    folder.mkdir()
    until = time.monotonic() + 5
    while not (folder / "gpudoctor.prom").exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    file.stop()
    assert list(folder.iterdir()) == []


def test_with_a_textfile_no_port_is_opened_and_the_file_goes_with_the_daemon(tmp_path):
    path = tmp_path / "gpudoctor.prom"
    with subprocess.Popen(
        [*COMMAND, "--textfile", str(path)], stderr=subprocess.PIPE, text=True
    ) as daemon:
        until = time.monotonic() + 20
        while not path.exists() or "gpudoctor_gpu_up{" not in path.read_text():
            assert time.monotonic() < until
            time.sleep(0.05)
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(10) == 0
        told = daemon.stderr.read()
    assert f"Writing {path}" in told
    assert "Serving" not in told
    assert not path.exists()


def test_a_file_that_cannot_be_written_is_told_at_once(tmp_path):
    done = subprocess.run(
        [*COMMAND, "--textfile", str(tmp_path / "none" / "x.prom")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert f"there is no folder {tmp_path / 'none'}" in done.stderr
    assert "textfile" in done.stderr
