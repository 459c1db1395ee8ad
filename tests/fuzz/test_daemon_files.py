"""What the daemon is told: the web configuration, the reclaim policy, and who asks. What the screen kept."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudoctor.daemon.access import Access, Guard, _matches
from gpudoctor.daemon.acts import HOUR_S, ActLog
from gpudoctor.daemon.http import Request, Response
from gpudoctor.daemon.pace import parse_pace
from gpudoctor.daemon.policy import Policy, parse_policy
from gpudoctor.daemon.webconfig import WebConfig, read_web_config
from gpudoctor.tui.look import Look, load, save
from tests.fuzz.seeds import SEEDS
from tests.fuzz.settled import altered, fuzz, mangled, settled

VALUES = st.sampled_from(
    [
        *("nan", "1e400", "9" * 5000, "-1", "[]", "{}", '""', '"2h"', '"9999999d"', '["*", 1]'),
        *("25:99:99", '"\u001b"'),
    ]
)
KEYS = st.sampled_from(
    ["at_most_per_hour", "users", "held_longer_than", "mode", "reclaim", '"\\u001b"', "x"]
)
TABLES = st.lists(
    st.builds("{} = {}".format, KEYS, VALUES) | st.just("[[reclaim]]"), max_size=5
).map("\n".join)


@fuzz(250)
@given(mangled(SEEDS["policy"]).map(lambda data: data.decode("utf-8", "replace")) | TABLES)
def test_a_policy_of_any_text_is_read_or_refused(text):
    found = settled(parse_policy, text, where="a file")
    assert found is None or isinstance(found, Policy)
    if found is not None:
        assert 1 <= found.at_most_per_hour <= 1000
        assert all(rule.held_longer_than_s > 0 and rule.users for rule in found.rules)


def test_of_a_policy_that_is_half_overwritten_only_what_was_written_is_done():
    @fuzz(300)
    @given(mangled(SEEDS["policy"].replace(b'"kill"', b'"dry-run"')))
    def run(data):
        found = settled(parse_policy, data.decode("utf-8", "replace"), where="a file")
        assert found is None or not found.kills or b"kill" in data

    run()


ACTS = b'{"schema": "gpudoctor.reclaimed/1", "ended_at": [1800000000.0, 1800001800.5, 1800003000.25]}\n'
ODD_ACTS = (b"[" * 20_000, b'{"ended_at": [1e999]}', b'{"ended_at": [-1e308]}', b"\xff\xfe")


def test_a_memory_of_acts_of_any_bytes_never_raises_the_limit(tmp_path):
    path = tmp_path / "reclaimed.json"
    log = ActLog(path, clock=lambda: 1_800_003_600.0)

    @fuzz(200)
    @given(mangled(ACTS) | st.sampled_from(ODD_ACTS))
    def run(data):
        path.write_bytes(data)
        ages = log.ages()
        assert all(0.0 <= age < HOUR_S for age in ages)
        assert ages == sorted(ages, reverse=True)
        log.add()
        assert log.ages()[-1] == 0.0

    run()


ODD_WEB = (
    b"[" * 20_000,
    b"a: " * 20_000,
    b"basic_auth_users: 2001-99-99",
    b"basic_auth_users: {2001-99-99: x}",
    b"x: " + b"9" * 5000,
    b"? [a]\n: b",
    b"&a [*a]",
    b"basic_auth_users: &a {x: *a}",
    b"!!python/object/apply:os.system ['touch /tmp/x']",
    b'tls_server_config: {cert_file: "a\\0b", key_file: k}',
    b"tls_server_config: {cert_file: [1], key_file: {a: b}}",
    b'http_server_config: {headers: {X-Frame-Options: "a\\r\\nX: y"}}',
    b"\xff\xfe",
    b"a: 1-1-1T99:99:99+99:99",
)


def test_a_web_configuration_of_any_bytes_is_read_or_refused(tmp_path):
    path = tmp_path / "web.yml"

    @fuzz(60)
    @given(mangled(SEEDS["webconfig"]) | st.sampled_from(ODD_WEB))
    def run(data):
        path.write_bytes(data)
        found = settled(read_web_config, path)
        assert found is None or isinstance(found, WebConfig)
        if found is not None:
            assert all(value.isprintable() for value in found.headers.values())

    run()


@pytest.mark.parametrize("data", ODD_WEB, ids=range(len(ODD_WEB)))
def test_a_web_configuration_made_to_break_its_reader_is_refused(tmp_path, data):
    (tmp_path / "web.yml").write_bytes(data)
    assert settled(read_web_config, tmp_path / "web.yml") is None


TOKEN = b"0123456789abcdef"
BASIC = "Basic " + base64.b64encode(b"x:" + TOKEN).decode()
HEADERS = (
    st.text(st.characters(max_codepoint=255), max_size=40)
    | st.sampled_from(
        ["Basic", "Bearer ", "Basic " + "=" * 9, "bearer \xff", "Basic Og==", "Basic \xb2"]
    )
    | mangled(BASIC.encode()).map(lambda data: data.decode("latin-1"))
)


@fuzz(300)
@given(HEADERS)
def test_nobody_is_let_in_without_the_token(header):
    guard = Guard(Access(TOKEN), lambda _: Response(b"secret"))
    answer = guard(Request("GET", "/metrics", "", {"authorization": header}))
    scheme, _, value = header.partition(" ")
    right = {"bearer": TOKEN, "basic": None}.get(scheme.lower(), b"\0")
    if right is None:
        right = TOKEN
        try:
            value = base64.b64decode(value.strip()).partition(b":")[2].decode("latin-1")
        except ValueError:
            value = ""
    assert isinstance(answer, Response)
    assert (answer.body == b"secret") is (value.strip().encode("latin-1") == right)


@pytest.mark.parametrize("password", [b"", b"\0", b"a\0b", b"x" * 73, b"\xff" * 72])
def test_a_password_of_any_bytes_is_compared(password):
    assert _matches(password, None) is False


@fuzz(100)
@given(st.text(max_size=12) | st.sampled_from(["nan", "inf", "-1", "1e400", "9" * 5000, "²"]))
def test_a_pace_of_any_text_is_a_number_or_none(text):
    try:
        pace = parse_pace(f"pace={text}")
    except ValueError:
        return
    assert pace is None or 0 < pace < 1e9


def test_a_look_of_any_shape_is_taken_or_left(tmp_path):
    path = tmp_path / "ui.json"
    save(path, Look())
    kept = json.loads(path.read_text())

    @fuzz(100)
    @given(altered(kept).map(json.dumps).map(str.encode) | mangled(path.read_bytes()))
    def run(data):
        path.write_bytes(data)
        look, told = load(path)
        assert isinstance(look, Look)
        assert look == Look() or not told
        save(path, look)
        assert load(path) == (look, "")

    run()
