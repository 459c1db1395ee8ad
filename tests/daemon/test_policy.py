from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudoctor.daemon.policy import Mode, Policy, Rule, parse_policy, read_policy
from gpudoctor.errors import GpuDoctorError
from tests.fuzz.settled import fuzz, mangled, settled

GOOD = """\
at_most_per_hour = 3

[[reclaim]]
users = ["ana", "ben"]
held_longer_than = "30m"
mode = "kill"

[[reclaim]]
users = ["*"]
held_longer_than = "1d"
"""


def parse(text):
    return parse_policy(text, where="reclaim.toml")


def told(text):
    with pytest.raises(GpuDoctorError) as error:
        parse(text)
    return error.value.message, error.value.hint


def test_rules_are_read_and_only_say_what_they_would_do_unless_told_otherwise():
    assert parse(GOOD) == Policy(
        (
            Rule(("ana", "ben"), 1800.0, Mode.KILL),
            Rule(("*",), 86_400.0, Mode.DRY_RUN),
        ),
        3,
    )
    assert parse(GOOD).kills
    assert not Policy((Rule(("ana",), 60.0),)).kills


def test_the_first_rule_that_covers_a_user_decides():
    policy = parse(GOOD)
    assert policy.rule_for("ana", 1000) is policy.rules[0]
    assert policy.rule_for("cho", 1001) is policy.rules[1]
    assert policy.rule_for(None, 1001) is None
    assert policy.rule_for("cho", None) is None


@pytest.mark.parametrize(("user", "uid"), [("root", 0), ("toor", 0), ("root", 5)])
def test_root_is_covered_only_where_it_is_named(user, uid):
    assert Policy((Rule(("*",), 1.0),)).rule_for(user, uid) is None
    assert Policy((Rule(("*", user), 1.0),)).rule_for(user, uid) is not None


@pytest.mark.parametrize(
    ("wrong", "line", "hint"),
    [
        (GOOD.replace("mode =", "mod ="), "line 6: unknown: mod", "Did you mean mode?"),
        (GOOD.replace('"kill"', '"kil"'), "line 6: mode is 'kil'", "Did you mean kill?"),
        (GOOD.replace('"1d"', '"1 d"'), "line 10: held_longer_than is '1 d'", "Give a span"),
        (GOOD.replace('"1d"', '"0h"'), "line 10: held_longer_than is '0h'", "Give a span"),
        (GOOD.replace('"1d"', "86400"), "line 10: held_longer_than is 86400", "Give a span"),
        (GOOD.replace('["*"]', "[]"), "line 9: users is []", "Name the users"),
        (GOOD.replace('["*"]', '["a", ""]'), "line 9: users is ['a', '']", "Name the users"),
        (GOOD.replace('users = ["*"]', ""), "line 8: users is missing", "Name the users"),
        (GOOD.replace("= 3", "= 0"), "line 1: at_most_per_hour is 0", "1 to 1000"),
        (GOOD.replace("= 3", "= true"), "line 1: at_most_per_hour is True", "1 to 1000"),
        ("at_most_per_hours = 3\n" + GOOD[22:], "line 1: unknown: at_most_per_hours", "mean at_"),
        ("[reclaim]\nusers = ['a']\n", "line 1: reclaim is", "[[reclaim]]"),
        ("", "has no rule", "[[reclaim]]"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_was_meant(wrong, line, hint):
    message, advice = told(wrong)
    assert line in message
    assert hint in advice


def test_what_is_no_toml_is_told_with_its_line():
    with pytest.raises(GpuDoctorError) as error:
        parse(GOOD + "mode = \n")
    assert "line 11" in error.value.cause


def test_a_policy_that_others_may_change_is_refused(tmp_path):
    path = tmp_path / "reclaim.toml"
    path.write_text(GOOD)
    path.chmod(0o644)
    assert read_policy(path) == parse(GOOD)
    path.chmod(0o664)
    with pytest.raises(GpuDoctorError, match="can be changed by others"):
        read_policy(path)
    if os.geteuid() == 0:
        path.chmod(0o600)
        os.chown(path, 12345, 12345)
        with pytest.raises(GpuDoctorError, match="can be changed by others"):
            read_policy(path)
    with pytest.raises(GpuDoctorError, match="cannot be read"):
        read_policy(tmp_path / "missing")


@fuzz(300)
@given(mangled(GOOD.encode()).map(lambda data: data.decode("utf-8", "replace")) | st.text())
def test_any_text_is_a_policy_or_one_error(text):
    policy = settled(parse, text)
    assert policy is None or policy.rules
