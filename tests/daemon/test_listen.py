from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gpudoctor.daemon.listen import Address, bind, bound, parse, release
from gpudoctor.errors import GpuDoctorError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9836", Address("127.0.0.1", 9836)),
        (":9836", Address("", 9836)),
        ("[::1]:80", Address("::1", 80)),
        ("node-7:0", Address("node-7", 0)),
        ("unix:/run/gpudoctor.sock", Address(path=Path("/run/gpudoctor.sock"))),
    ],
)
def test_addresses_are_understood(text, address):
    assert parse(text) == address


@pytest.mark.parametrize(
    "text", ["", "9836", "host", "host:", "host:http", "host:65536", "::1:80", "h:-1", "unix:"]
)
def test_what_is_no_address_is_said_so(text):
    with pytest.raises(GpuDoctorError, match="no address"):
        parse(text)


def test_the_url_can_be_typed_into_a_browser():
    assert Address("::1", 80).url == "http://[::1]:80/"
    assert Address("", 80).url == "http://0.0.0.0:80/"


def test_a_port_that_is_taken_is_told_with_a_way_out():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(GpuDoctorError) as caught:
            bind(Address("127.0.0.1", port))
    assert f"127.0.0.1:{port}" in caught.value.message
    assert "--listen" in caught.value.hint


def test_a_host_that_does_not_exist_is_told():
    with pytest.raises(GpuDoctorError, match="cannot listen"):
        bind(Address("host.invalid", 1))


def test_port_0_becomes_the_port_that_was_given():
    listening = bind(Address("127.0.0.1", 0))
    assert bound(Address("127.0.0.1", 0), listening).port > 0
    release(Address("127.0.0.1", 0), listening)


def test_a_unix_socket_is_for_owner_and_group_and_goes_with_the_daemon(tmp_path):
    address = Address(path=tmp_path / "s")
    listening = bind(address)
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o660
    release(address, listening)
    assert not (tmp_path / "s").exists()


def test_a_socket_that_a_killed_daemon_left_is_taken_over(tmp_path):
    address = Address(path=tmp_path / "s")
    bind(address).close()
    assert (tmp_path / "s").is_socket()
    with bind(address) as listening, socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(tmp_path / "s"))
        assert listening.accept()[0].fileno() >= 0
        release(address, listening)
    assert not (tmp_path / "s").exists()


def test_a_socket_where_somebody_listens_is_left_alone(tmp_path):
    address = Address(path=tmp_path / "s")
    with bind(address), pytest.raises(GpuDoctorError, match="cannot listen"):
        bind(address)
    assert (tmp_path / "s").exists()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    (tmp_path / "s").write_text("precious")
    with pytest.raises(GpuDoctorError, match="cannot listen"):
        bind(Address(path=tmp_path / "s"))
    assert (tmp_path / "s").read_text() == "precious"
