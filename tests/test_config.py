from __future__ import annotations

import pytest

from gpudoctor import config
from gpudoctor.errors import GpuDoctorError


def test_no_file_means_defaults(tmp_path, monkeypatch):
    monkeypatch.delenv("GPUDOCTOR_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config.load() == config.Settings()


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text("[sampling]\ninterval_seconds = 2\n")
    settings = config.load(file)
    assert settings.sampling.interval_seconds == 2.0
    assert settings.serve == config.ServeSettings()


def test_the_environment_names_the_file(tmp_path, monkeypatch):
    file = tmp_path / "mine.toml"
    file.write_text('[serve]\nlisten = "0.0.0.0:1"\n')
    monkeypatch.setenv("GPUDOCTOR_CONFIG", str(file))
    assert config.load().serve.listen == "0.0.0.0:1"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "[sampling]\nintervall_seconds = 1\n",
            "sampling.intervall_seconds",
            "sampling.interval_seconds",
        ),
        ("[samplin]\n", "samplin", "sampling"),
        ("[qqq]\n", "qqq", "Known here"),
    ],
)
def test_an_unknown_setting_names_the_one_that_was_meant(text, message, hint):
    with pytest.raises(GpuDoctorError) as caught:
        config.parse(text, where="c.toml")
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "[sampling",
        "[sampling]\ninterval_seconds = 'x'\n",
        "sampling = 3\n",
        "[sampling]\ninterval_seconds = 0\n",
    ],
)
def test_a_file_that_makes_no_sense_is_an_error(text):
    with pytest.raises(GpuDoctorError, match=r"c\.toml"):
        config.parse(text, where="c.toml")


def test_a_named_file_must_exist(tmp_path):
    with pytest.raises(GpuDoctorError, match="does not exist"):
        config.load(tmp_path / "none.toml")


def test_the_daemon_may_listen_at_several_addresses():
    one = config.parse('[serve]\nlisten = ":1"\n', where="it").serve
    several = config.parse('[serve]\nlisten = [":1", "unix:/x"]\n', where="it").serve
    assert one.addresses == (":1",)
    assert several.addresses == (":1", "unix:/x")
    with pytest.raises(GpuDoctorError, match="wrong kind"):
        config.parse("[serve]\nlisten = 1\n", where="it")


def test_temperatures_are_shown_in_one_of_two_units():
    assert (
        config.parse('[tui]\ntemperature = "fahrenheit"', where="x").tui.temperature == "fahrenheit"
    )
    with pytest.raises(GpuDoctorError, match=r"x: tui.temperature is 'kelvin'") as told:
        config.parse('[tui]\ntemperature = "kelvin"', where="x")
    assert told.value.hint == "Give one of celsius, fahrenheit."
