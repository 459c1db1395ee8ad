"""Every command that looks at the driver × everything that may be wrong with it."""

from __future__ import annotations

import pytest

from tests.faults.staging import COMMANDS, DOCUMENTED, FAULTS, is_one_object, run
from tools.faults import PAGE, Outcome, agrees, kept, page

KEPT = kept()


def test_the_page_shows_what_was_seen():
    assert PAGE.read_text() == page(KEPT), "make it: python -m tools.faults --page"


def test_every_fault_and_command_was_seen():
    assert list(KEPT) == [fault.name for fault in FAULTS]
    assert all(list(row) == list(COMMANDS) for row in KEPT.values())


def test_another_error_or_exit_code_does_not_agree_with_what_was_seen():
    lost = Outcome(3, "the NVIDIA driver is not loaded")
    assert agrees("ps", lost, lost)
    assert not agrees("ps", Outcome(0, ""), lost)
    assert not agrees("ps", Outcome(3, "another error"), lost)
    assert not agrees("check --json", lost, Outcome(0, ""))
    assert agrees("check --json", Outcome(1, ""), Outcome(0, ""))


@pytest.mark.integration
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_ends_in_time_with_a_documented_code_and_no_traceback(
    nvml_sim, tmp_path, fault, command
):
    result = run(nvml_sim, fault, command, str(tmp_path))
    assert result.code in DOCUMENTED, result.stderr[-3000:]
    assert "Traceback" not in result.stderr + result.stdout
    assert agrees(command, Outcome(result.code, result.says()), KEPT[fault.name][command])
    if result.code == 3:
        assert result.stderr.startswith("error: ")
        assert "\n\nhint: " in result.stderr
    elif "--json" in command:
        assert is_one_object(result.stdout)
    if fault.name == "healthy":
        assert result.code in (0, 1)
