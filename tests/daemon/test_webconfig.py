from __future__ import annotations

import asyncio
import base64
import inspect
import os
import shutil
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import bcrypt
import pytest

from gpudoctor.daemon.access import Access, AccessFiles, Guard
from gpudoctor.daemon.http import Request, Response
from gpudoctor.daemon.webconfig import read_web_config
from gpudoctor.errors import GpuDoctorError
from tests.cli.serving import serving

HASH = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(4))

NO_FILES = "tls_server_config:\n  cert_file: a\n  key_file: b\n"


def written(tmp_path, text):
    path = tmp_path / "web.yml"
    path.write_text(text)
    return path


def make_certificate(folder, name):
    """A certificate for 127.0.0.1 that is its own CA, and its key."""
    words = ["req", "-x509", "-nodes", "-days", "2", "-newkey", "rsa:2048"]
    names = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(["openssl", *words, *names, *files], check=True, capture_output=True)


@pytest.fixture
def certificate(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    make_certificate(tmp_path, "first")
    return tmp_path / "cert.pem"


def basic(name, password):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def ask(guard, name, password, path="/metrics"):
    headers = {key.lower(): value for key, value in basic(name, password).items()}

    async def asked():
        answer = guard(Request("GET", path, "", headers))
        return await answer if inspect.isawaitable(answer) else answer

    return asyncio.run(asked())


def test_a_user_is_let_in_with_the_password_only():
    guard = Guard(Access(users={"ana": HASH}), lambda request: Response(b"secret"))
    assert ask(guard, "ana", "open sesame").body == b"secret"
    for name, password in (("ana", "Open sesame"), ("bo", "open sesame"), ("ana", "")):
        assert ask(guard, name, password).status == 401
        # The second time it is answered from what is known.
        assert ask(guard, name, password).status == 401
    assert ask(guard, "ana", "open sesame").body == b"secret"
    assert ask(guard, "bo", "", path="/healthz").body == b"secret"
    assert guard(Request("GET", "/metrics", "", {})).status == 401


def test_a_password_longer_than_bcrypt_reads_does_not_open():
    long = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4))
    guard = Guard(Access(users={"ana": long}), lambda request: Response(b"secret"))
    assert ask(guard, "ana", "x" * 73).status == 401
    assert ask(guard, "ana", "x" * 72).body == b"secret"


def test_a_known_password_costs_no_bcrypt():
    slow = bcrypt.hashpw(b"open sesame", bcrypt.gensalt(10))
    guard = Guard(Access(users={"ana": slow}), lambda request: Response(b"secret"))
    ask(guard, "ana", "open sesame")
    begun = time.perf_counter()
    for _ in range(20):
        assert ask(guard, "ana", "open sesame").status == 200
    # One comparison of this hash takes some 50 ms.
    assert time.perf_counter() - begun < 0.3


def test_a_flood_of_wrong_passwords_does_not_make_it_forget_who_scrapes():
    guard = Guard(Access(users={"ana": HASH}), lambda request: Response(b"secret"))
    ask(guard, "ana", "open sesame")
    for number in range(300):
        ask(guard, "ana", f"wrong {number}")
    assert len(guard._known) == 256
    answer = guard(
        Request("GET", "/", "", {"authorization": basic("ana", "open sesame")["Authorization"]})
    )
    assert isinstance(answer, Response) and answer.body == b"secret"


def test_headers_of_the_file_are_sent_also_with_what_takes_long(tmp_path):
    text = "http_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: deny\n"
    access = AccessFiles(web_config=written(tmp_path, text)).read()
    assert access.context is None

    async def later(request):
        return Response(b"late")

    for answer in (later, lambda request: Response(b"soon")):
        told = ask(Guard(access, answer), "ana", "")
        assert told.headers["X-Frame-Options"] == "deny"


def test_an_empty_file_asks_for_nothing(tmp_path):
    told = read_web_config(written(tmp_path, ""))
    assert told.context is None
    assert not told.users


def test_tls_is_set_up_with_files_beside_the_configuration(certificate, tmp_path):
    text = (
        "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n  min_version: TLS13\n"
        "  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: cert.pem\n"
    )
    context = read_web_config(written(tmp_path, text)).context
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_OPTIONAL


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[1, 2]", "no table"),
        ("a: [", "not valid YAML"),
        ("tls_server_confg: {}", "unknown setting: tls_server_confg"),
        ("tls_server_config: {cert_fil: a}", "tls_server_config.cert_fil"),
        ("tls_server_config: {cert_file: a}", "needs both cert_file and key_file"),
        ("tls_server_config: {cipher_suites: [A]}", "cannot do tls_server_config.cipher_suites"),
        (
            "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAnyClientCert}",
            "cannot do client_auth_type RequireAnyClientCert",
        ),
        ("tls_server_config: {cert_file: a, key_file: b, client_ca_file: c}", "belong together"),
        (
            f"{NO_FILES}  client_auth_type: RequireAndVerifyClientCert",
            "belong together",
        ),
        ("tls_server_config: {cert_file: a, key_file: b}", "TLS cannot be set up"),
        ("basic_auth_users: {ana: plain}", "password of ana is no bcrypt hash"),
        ("basic_auth_users: [ana]", "no table of names and hashes"),
        ('http_server_config: {headers: {X-Frame-Options: "a\\r\\nb: c"}}', "characters that none"),
        ("http_server_config: {headers: {Server: me}}", "unknown setting"),
        ("rate_limit: {}", "cannot do rate_limit"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(tmp_path, text, told):
    with pytest.raises(GpuDoctorError) as caught:
        read_web_config(written(tmp_path, text))
    assert told in f"{caught.value.message}"


def test_a_weak_version_of_tls_is_refused(certificate, tmp_path):
    text = "tls_server_config: {cert_file: cert.pem, key_file: key.pem, min_version: TLS10}"
    with pytest.raises(GpuDoctorError, match="min_version is TLS10"):
        read_web_config(written(tmp_path, text))


def test_tls_is_not_set_up_twice(certificate, tmp_path):
    path = written(tmp_path, "tls_server_config: {cert_file: cert.pem, key_file: key.pem}")
    files = AccessFiles(certificate=certificate, key=tmp_path / "key.pem", web_config=path)
    with pytest.raises(GpuDoctorError, match="both --tls-cert and"):
        files.read()


def fetch(url, cafile=None, **headers):
    context = ssl.create_default_context(cafile=cafile) if cafile else None
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        return answer.read().decode()


def until(act, seconds=10.0):
    """What `act` gives as soon as it raises no more."""
    end = time.monotonic() + seconds
    while True:
        try:
            return act()
        except (OSError, AssertionError):
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


@pytest.mark.integration
def test_sighup_takes_the_new_certificate_and_the_new_password(certificate, tmp_path):
    tls = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n"
    path = written(tmp_path, f"{tls}basic_auth_users: {{ana: '{HASH.decode()}'}}\n")
    with serving("--interval", "0.2", "--web.config.file", str(path)) as daemon:
        assert daemon.url.startswith("https://")
        first = str(shutil.copy(certificate, tmp_path / "first.pem"))
        assert "gpudoctor" in fetch(daemon.url, first, **basic("ana", "open sesame"))
        with pytest.raises(urllib.error.HTTPError, match="401"):
            fetch(daemon.url, first, **basic("ana", "close sesame"))

        make_certificate(tmp_path, "second")
        other = bcrypt.hashpw(b"close sesame", bcrypt.gensalt(4)).decode()
        path.write_text(f"{tls}basic_auth_users: {{ana: '{other}'}}\n")
        daemon.process.send_signal(signal.SIGHUP)
        second = str(certificate)
        until(lambda: fetch(daemon.url, second, **basic("ana", "close sesame")))
        with pytest.raises(urllib.error.HTTPError, match="401"):
            fetch(daemon.url, second, **basic("ana", "open sesame"))
        with pytest.raises(urllib.error.URLError):
            fetch(daemon.url, first)

        # What cannot be read leaves all as it was.
        path.write_text("tls_server_config: {cert_file: [")
        daemon.process.send_signal(signal.SIGHUP)
        for line in daemon.process.stderr:
            if "all stays as it was" in line:
                break
        assert "gpudoctor" in fetch(daemon.url, second, **basic("ana", "close sesame"))
        assert daemon.end()[0] == 0


@pytest.mark.integration
def test_sighup_takes_the_interval_of_the_settings(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text("[serve]\ninterval_seconds = 0.2\n")
    with serving(root=("--demo", "--config", str(config))) as daemon:
        assert "gpudoctor_sample_interval_seconds 0.2" in daemon.wait_for("gpudoctor_gpu_up{")
        config.write_text("[serve]\ninterval_seconds = 0.3\n")
        os.kill(daemon.process.pid, signal.SIGHUP)
        daemon.wait_for("gpudoctor_sample_interval_seconds 0.3")
