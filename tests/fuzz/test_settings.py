from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudoctor.cli.main import run
from gpudoctor.config import Settings, parse
from gpudoctor.daemon import listen
from gpudoctor.host.visible_devices import VARIABLE, resolve
from gpudoctor.model.environment import GpuRow
from gpudoctor.model.readings import DeviceFacts, MigInstance, MigReading
from tests.fuzz.settled import fuzz, settled

UUIDS = tuple(f"GPU-6e1f0d0c-000{index}-4de0-b0de-00000000000{index}" for index in range(3))
PART = MigInstance("MIG-6e1f0d0c-0000-5de0-b0de-000000000000", 1, 0, "1g.5gb", 5 * 2**30, 0)
ODD = st.sampled_from(
    [
        *(
            "",
            " ",
            "+0",
            "-0",
            "0x1",
            "²",
            "٣",
            "9" * 5000,
            "1" * 20,
            "none",
            "all",
            "\x1b[31m",
            "\0",
        ),
        *("GPU-", "MIG-", "GPU-6e1f", UUIDS[0], UUIDS[1].upper(), PART.uuid, f"MIG-{UUIDS[2]}/1/0"),
        f"MIG-{UUIDS[2]}/{'9' * 5000}/0",
    ]
)


def gpus(mig: bool):
    facts = [
        DeviceFacts(uuid, index, "NVIDIA H100", f"0000:0{index}:00.0")
        for index, uuid in enumerate(UUIDS)
    ]
    rows = [GpuRow(one, MigReading(False)) for one in facts]
    if mig:
        rows[2] = GpuRow(facts[2], MigReading(True, (PART,)))
    return tuple(rows)


tokens = ODD | st.text(max_size=8) | st.integers(-3, 9).map(str)


@fuzz(400)
@given(
    st.lists(tokens, max_size=6).map(",".join),
    st.booleans(),
    st.sampled_from([None, "PCI_BUS_ID", "\x1b"]),
)
def test_every_list_of_visible_devices_is_read(value, mig, order):
    environ = {VARIABLE: value} | ({"CUDA_DEVICE_ORDER": order} if order else {})
    seen = resolve(environ, gpus(mig))
    assert len(seen.tokens) == len(value.split(","))
    assert [one.ordinal for one in seen.visible] == list(range(len(seen.visible)))
    assert len({one.uuid for one in seen.visible}) == len(seen.visible)


KEYS = st.sampled_from(
    ["sampling", "tui", "serve", "interval_seconds", "listen", "theme"]
) | st.text(max_size=6)
VALUES = st.sampled_from(
    [
        "nan",
        "inf",
        "1e400",
        "9" * 5000,
        "-0",
        "[]",
        "{}",
        "1979-05-27",
        "25:99:99",
        '"\\u001b"',
        "true",
    ]
)


@fuzz(300)
@given(
    st.text(max_size=60)
    | st.lists(st.builds("{}={}".format, KEYS, VALUES), max_size=4).map("\n".join)
)
def test_settings_are_read_or_refused(text):
    for part in ("", "[sampling]\n", "[serve]\n"):
        found = settled(parse, part + text, where="a file")
        assert found is None or isinstance(found, Settings)


@pytest.mark.parametrize(
    "text",
    [
        "a=" + "[" * 5_000,
        "a={b=" * 2_000,
        "tui = " + "9" * 5_000,
        '"\\u001b]0;x\\u0007" = 1',
        "sampling.\x1b = 1",
    ],
    ids=["lists", "tables", "digits", "escape", "raw"],
)
def test_settings_made_to_break_the_reader_are_refused(text):
    assert settled(parse, text, where="a file") is None


@fuzz(200)
@given(st.text(max_size=20) | st.from_regex(r"\[?[0-9a-f:.]{0,12}\]?:[0-9²٣]{0,8}", fullmatch=True))
def test_addresses_to_listen_at_are_read_or_refused(text):
    found = settled(listen.parse, text)
    assert found is None or 0 <= found.port < 65536


def test_what_a_file_says_reaches_the_terminal_without_its_escapes(tmp_path, capsys):
    path = tmp_path / "s.toml"
    path.write_text('"\\u001b]0;owned\\u0007\\u009b" = 1')
    assert run(["--config", str(path), "--demo", "serve"]) == 2
    told = capsys.readouterr().err
    assert "unknown setting: \\x1b]0;owned\\x07\\x9b\n" in told
    assert not {"\x1b", "\x07", "\x9b"} & set(told)
