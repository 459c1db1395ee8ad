from __future__ import annotations

import base64
import os
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request

import pytest

from gpudoctor.daemon.access import Access, Guard, read_token, tls
from gpudoctor.daemon.http import Request, Response
from gpudoctor.errors import GpuDoctorError
from tests.cli.serving import serving

TOKEN = b"0123456789abcdef"


def ask(path="/metrics", authorization=None):
    headers = {} if authorization is None else {"authorization": authorization}
    guard = Guard(Access(TOKEN), lambda request: Response(b"secret"))
    return guard(Request("GET", path, "", headers))


@pytest.mark.parametrize("uid", [0, os.geteuid()])
def test_root_and_the_daemons_user_need_no_token_at_its_own_socket(uid):
    guard = Guard(Access(TOKEN), lambda request: Response(b"secret"))
    assert guard(Request("GET", "/metrics", "", {}, uid)).body == b"secret"


def test_another_user_needs_the_token_there_too():
    guard = Guard(Access(TOKEN), lambda request: Response(b"secret"))
    assert guard(Request("GET", "/metrics", "", {}, os.geteuid() + 1)).status == 401


def basic(text: bytes) -> str:
    return f"Basic {base64.b64encode(text).decode()}"


@pytest.mark.parametrize(
    "header", ["Bearer 0123456789abcdef", "bearer  0123456789abcdef", basic(b"anybody:" + TOKEN)]
)
def test_the_token_opens_as_bearer_and_as_password(header):
    assert ask(authorization=header).body == b"secret"


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer 0123456789abcdeF",
        "Bearer 0123456789abcdef0",
        "0123456789abcdef",
        "Digest 0123456789abcdef",
        "Basic !!!",
        basic(b"0123456789abcdef"),
        basic(b"0123456789abcdef:"),
        basic(TOKEN + b":wrong"),
        "Bearer \u0100",
    ],
)
def test_nothing_else_opens(header):
    answer = ask(authorization=header)
    assert answer.status == 401
    assert answer.body != b"secret"
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_supervisors_need_no_token():
    assert ask("/healthz").status == 200
    assert ask("/readyz").status == 200
    assert ask("/").status == 401


def test_a_token_is_read_without_its_line_break(tmp_path):
    (tmp_path / "t").write_bytes(TOKEN + b"\n")
    (tmp_path / "t").chmod(0o640)
    assert read_token(tmp_path / "t") == TOKEN


def test_a_token_that_protects_nothing_is_refused(tmp_path):
    with pytest.raises(GpuDoctorError, match="cannot be read"):
        read_token(tmp_path / "none")
    (tmp_path / "t").write_bytes(b"short")
    with pytest.raises(GpuDoctorError, match="shorter than 16"):
        read_token(tmp_path / "t")
    (tmp_path / "t").write_bytes(TOKEN)
    (tmp_path / "t").chmod(0o644)
    with pytest.raises(GpuDoctorError, match="everybody may read"):
        read_token(tmp_path / "t")


def test_without_a_certificate_there_is_no_tls(tmp_path):
    assert tls(None) is None
    with pytest.raises(GpuDoctorError, match="without --tls-cert"):
        tls(None, tmp_path / "key")
    with pytest.raises(GpuDoctorError, match="cannot be set up"):
        tls(tmp_path / "none")
    (tmp_path / "cert").write_text("this is no certificate")
    with pytest.raises(GpuDoctorError, match="cannot be set up"):
        tls(tmp_path / "cert")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that is its own CA, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    words = ["req", "-x509", "-nodes", "-days", "2", "-newkey", "rsa:2048"]
    names = ["-subj", "/CN=gpudoctor", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key"), "-out", str(folder / "cert")]
    subprocess.run(["openssl", *words, *names, *files], check=True, capture_output=True)
    return folder / "cert", folder / "key"


def fetch(url, context, **headers):
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return answer.read().decode()


@pytest.mark.integration
def test_https_with_a_token_is_served(certificate, tmp_path):
    cert, key = map(str, certificate)
    (tmp_path / "token").write_bytes(TOKEN)
    (tmp_path / "token").chmod(0o600)
    options = ("--tls-cert", cert, "--tls-key", key, "--token-file", str(tmp_path / "token"))
    with serving("--interval", "0.2", *options) as daemon:
        assert daemon.url.startswith("https://")
        context = ssl.create_default_context(cafile=cert)
        assert fetch(daemon.url + "healthz", context) == "ok\n"
        bearer = {"Authorization": f"Bearer {TOKEN.decode()}"}
        assert "gpudoctor_build_info" in fetch(daemon.url + "metrics", context, **bearer)
        with pytest.raises(urllib.error.HTTPError, match="401"):
            fetch(daemon.url + "metrics", context)
        with pytest.raises((urllib.error.URLError, ConnectionError)):
            fetch(daemon.url.replace("https", "http") + "healthz", None)
        # What was no TLS has done no harm.
        assert fetch(daemon.url + "healthz", context) == "ok\n"
        assert daemon.end()[0] == 0


@pytest.mark.integration
def test_clients_without_a_certificate_are_turned_away(certificate):
    cert, key = map(str, certificate)
    options = ("--tls-cert", cert, "--tls-key", key, "--tls-client-ca", cert)
    with serving("--interval", "0.2", *options) as daemon:
        context = ssl.create_default_context(cafile=cert)
        with pytest.raises((urllib.error.URLError, ConnectionError, ssl.SSLError)):
            fetch(daemon.url + "healthz", context)
        context.load_cert_chain(cert, key)
        assert fetch(daemon.url + "healthz", context) == "ok\n"
