from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error

import pytest

from gpudoctor.cli.assembly import say_restart
from tests.cli.serving import serving


def run(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "gpudoctor", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        **more,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_daemon_within_two_seconds_and_with_success(number):
    with serving("--interval", "0.2") as daemon:
        daemon.wait_for("gpudoctor_samples_total")
        code, seconds = daemon.end(number)
    assert code == 0
    assert seconds < 2


def test_the_demo_is_served_and_says_that_it_is_no_machine():
    with serving("--interval", "0.2", "--processes", "20") as daemon:
        text = daemon.wait_for("gpudoctor_gpu_up{")
        assert 'source="demo"' in text
        assert text.count("gpudoctor_gpu_up{") == 8
        assert 'pid="29907",user="cho"' in text
        told = json.loads(daemon.get("api/v1/snapshot"))
        assert len(told["snapshot"]["devices"]) == 8
        assert daemon.get("readyz") == "ok\n"


def test_samples_go_on_without_anybody_asking():
    def samples():
        (told,) = re.findall(
            r"^gpudoctor_samples_total (\d+)$", daemon.get("metrics"), re.MULTILINE
        )
        return int(told)

    with serving("--interval", "0.1") as daemon:
        daemon.wait_for("gpudoctor_samples_total")
        first = samples()
        time.sleep(1.0)
        # Ten, on a machine that has nothing else to do; one, if only asking made them.
        assert samples() - first >= 3


def test_a_port_that_is_taken_ends_it_with_a_block_and_2():
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        done = run("--demo", "serve", "--listen", taken)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: cannot listen at http://{taken}/\ncause: ")
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_address_ends_it_with_a_block_and_2():
    done = run("--demo", "serve", "--listen", "everywhere")
    assert done.returncode == 2
    assert "hint: Give HOST:PORT" in done.stderr


def test_settings_are_taken_from_the_file_that_is_named(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text('[serve]\nlisten = "nowhere"\n')
    done = run("--demo", "--config", str(config), "serve")
    assert "'nowhere' is no address" in done.stderr


def test_a_unix_socket_answers_and_is_removed_at_the_end(tmp_path):
    path = tmp_path / "gpudoctor.sock"
    command = [sys.executable, "-m", "gpudoctor", "--demo", "serve", "--listen", f"unix:{path}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as daemon:
        until = time.monotonic() + 20
        while not path.exists() and time.monotonic() < until:
            time.sleep(0.05)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(path))
            client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")
        daemon.terminate()
        assert daemon.wait(10) == 0
    assert not path.exists()


@pytest.mark.skipif(os.path.exists("/proc/driver/nvidia"), reason="there is a driver")
def test_without_a_driver_it_ends_with_3_unless_it_shall_wait():
    done = run("serve", "--listen", "127.0.0.1:0")
    assert done.returncode == 3
    assert done.stderr.startswith("error: ")
    with serving("--wait-for-driver", root=()) as daemon:
        assert daemon.get("healthz") == "ok\n"
        assert "gpudoctor_sampling_up 0" in daemon.get("metrics")
        with pytest.raises(urllib.error.HTTPError, match="503"):
            daemon.get("readyz")
        code, seconds = daemon.end()
        assert code == 0
        assert seconds < 2


def test_another_address_in_the_settings_is_said_to_take_a_restart(caplog):
    say_restart((":1",), (), (":1",))
    say_restart((":1",), (":1",), (":2",))  # --listen goes before the settings
    say_restart((), (), (":2",))  # --textfile: nobody listens
    assert caplog.messages == []
    say_restart((":1",), (), (":2", ":3"))
    assert caplog.messages == ["serve.listen is :2, :3 now, which takes a restart; still at :1"]
