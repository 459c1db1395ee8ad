from __future__ import annotations

from dataclasses import replace

import pytest

from gpudoctor.present.host import host_cells
from tests.builders import snapshot


def shown(width):
    return [cell.text.strip() for cell in host_cells(snapshot(), width)]


def test_where_there_is_room_the_host_is_told_in_full():
    full = ["8 CPUs", "50%", "RAM", "8.0 GiB of 64.0 GiB", "load", "1.0 1.0 1.0"]
    assert shown(None) == full and shown(200) == full
    assert host_cells(snapshot(), 200)[3].bar == pytest.approx(1 / 8)


def test_a_narrow_terminal_gets_shares_and_the_last_minute_instead_of_cut_values():
    assert shown(52) == ["8 CPUs", "50%", "RAM", "12%", "load", "1.0 1.0 1.0"]
    assert shown(38) == ["8 CPUs", "50%", "RAM", "12%", "load", "1.0"]
    assert all(cell.bar is None for cell in host_cells(snapshot(), 38))


@pytest.mark.parametrize("width", range(34, 120))
def test_no_value_is_longer_than_its_room(width):
    line = host_cells(snapshot(), width)
    bars = 8 * sum(cell.bar is not None for cell in line)
    assert sum(len(cell.text) for cell in line) + bars + 7 <= width


def test_a_host_that_tells_nothing_has_dashes():
    bare = snapshot()
    bare = replace(bare, host=replace(bare.host, load_average=None, memory_used_bytes=None))
    assert [cell.text for cell in host_cells(bare, 38)][3::2] == ["–", "–"]
