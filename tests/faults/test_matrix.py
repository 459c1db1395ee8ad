"""Every command that looks at the driver × everything that may be wrong with it."""

from __future__ import annotations

import pytest

from tests.faults.staging import COMMANDS, DOCUMENTED, FAULTS, is_one_object, run

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_each_ends_in_time_with_a_documented_code_and_no_traceback(
    nvml_sim, tmp_path, fault, command
):
    result = run(nvml_sim, fault, command, str(tmp_path))
    assert result.code in DOCUMENTED, result.stderr[-3000:]
    assert "Traceback" not in result.stderr + result.stdout
    if result.code == 3:
        assert result.stderr.startswith("error: ")
        assert "\n\nhint: " in result.stderr
    elif "--json" in command:
        assert is_one_object(result.stdout)
    if fault.name == "healthy":
        assert result.code in (0, 1)
