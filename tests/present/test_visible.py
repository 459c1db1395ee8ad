from __future__ import annotations

import itertools
import shlex
import subprocess

import pytest

from gpudoctor.host.visible_devices import resolve
from gpudoctor.model.environment import GpuRow
from gpudoctor.model.readings import MigInstance, MigReading
from gpudoctor.present.glyphs import ASCII, UNICODE
from gpudoctor.present.visible import answer_lines, assignment, parsed, picture, typed
from gpudoctor.present.wires import ascii_wires, wires
from gpudoctor.present.words import plain
from tests.builders import device

GPUS = tuple(GpuRow(device(index).facts) for index in range(4))


def drawn(value, gpus=GPUS, width=100, set_=UNICODE, **environ):
    answer = resolve({"CUDA_VISIBLE_DEVICES": value, **environ}, gpus)
    return [plain(words) for words in picture(answer, gpus, width, set_)]


def test_each_ordinal_is_named_with_its_gpu_in_order():
    page = drawn("2,0")
    assert [line.split("cuda:")[1].split() for line in page if "cuda:" in line] == [
        ["0", "GPU", "2"],
        ["1", "GPU", "0"],
    ]
    assert [line.split()[1] for line in page[1:]] == ["0", "1", "2", "3"]


def test_a_mig_instance_stands_under_its_gpu_and_at_the_ordinal():
    part = MigInstance("MIG-a", 7, 0, "1g.10gb")
    gpus = (GPUS[0], GpuRow(GPUS[1].facts, MigReading(True, (part,))))
    page = drawn("MIG-a", gpus)
    assert "MIG 1g.10gb  GI 7 CI 0" in page[3]
    assert page[1].endswith("cuda:0  GPU 1.7")


@pytest.mark.parametrize("width", [40, 60, 100, 200])
def test_no_line_of_the_picture_is_wider_than_the_terminal(width):
    assert max(map(len, drawn("3,2,1,0", width=width))) <= width


def test_plain_ascii_has_no_dots_and_still_names_all():
    page = drawn("3,0", set_=ASCII)
    assert all(line.isascii() for line in page)
    assert page[1].endswith("cuda:0  GPU 3")


def test_plain_ascii_has_lines_too():
    page = drawn("3,0", set_=ASCII)
    assert "--" in page[1] and ("/" in page[2] or "/" in page[3])


@pytest.mark.parametrize("width", [6, 7, 36])
@pytest.mark.parametrize("pairs", [[(0, 0)], [(0, 2), (2, 0)], [(15, 0), (0, 15)], [(5, 6)]])
def test_an_ascii_line_goes_from_its_left_row_to_its_right_row_without_a_gap(pairs, width):
    for number, (left, right) in enumerate(pairs):
        rows = ascii_wires([pairs[number]], width, 16)
        assert rows[left][0][1] == 0 and rows[right][-1] == ("-", 0)
        inked = [{y for y in range(16) if rows[y][x][1] is not None} for x in range(width)]
        assert all(inked)
        for before, after in itertools.pairwise(inked):
            assert min(abs(a - b) for a in before for b in after) <= 1
    crossed = "".join(mark for row in ascii_wires(pairs, width, 16) for mark, _ in row)
    assert set(crossed) <= set("-/\\|x+ ")


def dots(marks):
    return [[mark if owner is not None else None for mark, owner in row] for row in marks]


def test_a_line_begins_at_its_left_row_and_ends_at_its_right_row():
    marks = wires([(0, 2), (2, 0)], 10, 3)
    assert [row[0][1] for row in marks] == [0, None, 1]
    assert [row[-1][1] for row in marks] == [1, None, 0]
    assert all(any(owner is not None for _, owner in row) for row in marks)


def test_a_level_line_stays_on_its_row_and_a_steep_one_has_no_holes():
    level = dots(wires([(1, 1)], 6, 3))
    assert level[0] == level[2] == [None] * 6
    assert None not in level[1]
    steep = dots(wires([(0, 9)], 3, 10))
    assert all(any(row) for row in steep)


def test_no_pair_leaves_the_room_blank():
    assert wires([], 2, 2) == [[(" ", None)] * 2] * 2


def test_every_token_is_told_with_its_reason_and_how_sure_it_is():
    answer = resolve({"CUDA_VISIBLE_DEVICES": "1,x,0"}, GPUS)
    told = "\n".join(plain(words) for words in answer_lines(answer))
    assert "'1'  cuda:0" in told and "ends the list" in told and "not read" in told
    assert "unverified" in told


def test_an_emptied_list_says_that_no_gpu_is_visible():
    told = [plain(words) for words in answer_lines(resolve({"CUDA_VISIBLE_DEVICES": "1,1"}, GPUS))]
    assert told[0] == "No GPU is visible to CUDA."


@pytest.mark.parametrize("value", [None, "", "0,1", "GPU-1 x"])
def test_what_is_typed_and_what_it_means_are_each_others_opposite(value):
    assert parsed(typed(value)) == value


@pytest.mark.parametrize("value", [None, "", "3,1", "$(touch /tmp/x); 'a'"])
def test_the_shell_command_sets_exactly_that(value):
    command = assignment(value, "PCI_BUS_ID")
    script = f'{command}; printf %s "${{CUDA_VISIBLE_DEVICES-<unset>}}" $CUDA_DEVICE_ORDER'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ("<unset>" if value is None else value) + "PCI_BUS_ID"
    assert value is None or shlex.quote(value) in command
