"""Every command that looks at the driver × everything that may be wrong with it."""

from __future__ import annotations

import subprocess

import pytest

from gpudoctor.cli import commands as public
from tests.faults.commands import APART, COMMANDS
from tests.faults.staging import DOCUMENTED, FAULTS, Runs, is_one_object, under
from tests.libraries import NoCompilerError
from tests.nvml_sim.build import build
from tools.faults import PAGE, Outcome, agrees, kept, page

KEPT = kept()


def test_the_page_shows_what_was_seen():
    assert PAGE.read_text() == page(KEPT), "make it: python -m tools.faults --page"


def test_every_fault_and_command_was_seen():
    assert list(KEPT) == [fault.name for fault in FAULTS]
    assert all(list(row) == list(COMMANDS) for row in KEPT.values())


def test_every_public_command_is_among_those_that_are_run():
    typed = [*(one.words for one in COMMANDS.values()), *(one.words for one, _ in APART.values())]
    assert {command.name for command in public.COMMANDS} <= {words[0] for words in typed if words}


def test_another_error_or_exit_code_does_not_agree_with_what_was_seen():
    lost = Outcome(3, "the NVIDIA driver is not loaded")
    assert agrees("ps", lost, lost)
    assert not agrees("ps", Outcome(0, ""), lost)
    assert not agrees("ps", Outcome(3, "another error"), lost)
    assert not agrees("check --json", lost, Outcome(0, ""))
    assert agrees("check --json", Outcome(1, ""), Outcome(0, ""))


@pytest.fixture(scope="module")
def runs(request):
    """What is seen of the faults that are asked for; those that hang begin at once."""
    try:
        build()
    except NoCompilerError as missing:
        pytest.skip(str(missing))
    wanted = {
        item.callspec.params["fault"].name
        for item in request.session.items
        if item.path == request.path and "runs" in item.fixturenames
    }
    made = Runs(fault for fault in FAULTS if fault.name in wanted and not fault.why_not())
    yield made
    made.close()


@pytest.mark.integration
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_ends_in_time_with_a_documented_code_and_no_traceback(runs, fault, command):
    if why := fault.why_not():
        pytest.skip(why)
    result = runs.of(fault)[command]
    assert not isinstance(result, subprocess.TimeoutExpired), result
    assert result.code in DOCUMENTED, result.stderr[-3000:]
    assert "Traceback" not in result.stderr + result.stdout
    assert agrees(command, Outcome(result.code, result.says()), KEPT[fault.name][command])
    if result.code == 3:
        assert result.stderr.startswith("error: ")
        assert "\n\nhint: " in result.stderr
    elif "--json" in command:
        assert is_one_object(result.stdout)
    elif command == "serve":
        assert "gpudoctor_build_info" in result.stdout


@pytest.mark.integration
@pytest.mark.parametrize("fault", [FAULTS[0], FAULTS[2]], ids=lambda fault: fault.name)
def test_what_never_asks_the_driver_ends_the_same_without_one(fault):
    seen = under(fault, {name: command for name, (command, _) in APART.items()})
    assert {name: result.code for name, result in seen.items()} == {
        name: code for name, (_, code) in APART.items()
    }
    assert not [name for name, result in seen.items() if "Traceback" in result.stderr]
