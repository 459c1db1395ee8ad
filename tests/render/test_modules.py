from __future__ import annotations

from dataclasses import replace

from rich.console import Console

from gpudoctor.model.profile import ModuleTime
from gpudoctor.render.modules import module_table, tree
from tests.profile.build import profile

MODULES = (
    ModuleTime("Net", "", "Net", 4, 0.004, 0.4, 0.0, 0.8, parameters=0),
    ModuleTime("Net", "layers.0", "Conv2d", 8, 0.2, 0.2, 0.4, 0.4, parameters=1000),
    ModuleTime("Net", "layers.1", "Conv2d", 4, 0.1, 0.1, 0.3, 0.3, parameters=500),
    ModuleTime("Net", "head", "Linear", 4, 0.01, 0.01, None, None, output_bytes=2048),
    ModuleTime("Loss", "", "Loss", 6, 0.5, 0.5),
)


def lines(modules, **changes):
    console = Console(width=110, color_system=None)
    with console.capture() as seen:
        console.print(*module_table(profile(modules=modules, **changes)), sep="\n")
    return [" ".join(line.split()) for line in seen.get().splitlines() if line.strip()]


def test_modules_stand_below_the_ones_that_hold_them_the_slowest_first():
    console = Console(width=110, color_system=None)
    with console.capture() as seen:
        console.print(*module_table(profile(modules=MODULES)))
    names = [line[1:13].rstrip() for line in seen.get().splitlines() if " ms " in line]
    assert names == ["Net", "  layers.0", "  layers.1", "  head", "Loss"]


def test_times_and_calls_are_those_of_one_step():
    found = lines(MODULES)
    assert "Net Net 1 100 ms 200 ms 1,500 –" in found
    assert "layers.0 Conv2d 2 50.0 ms 100 ms 1,000 –" in found
    assert "head Linear 1 2.5 ms – – 2.0 KiB" in found
    assert "Loss Loss 1.5 125 ms – – –" in found


def test_only_the_eight_that_took_longest_are_shown_by_what_leads_to_them():
    many = tuple(ModuleTime("Net", f"m{i}", "Linear", 4, i, i) for i in range(20))
    names = [line.split()[0] for line in lines(many)[3:]]
    assert names == [f"Net.m{i}" for i in range(19, 11, -1)]


def test_where_the_gpus_time_is_known_it_decides_and_is_shown():
    device = tuple(replace(one, device_seconds=0.0) for one in MODULES[:-1])
    slow = replace(MODULES[-1], device_seconds=4.0)
    found = lines((*device, slow))
    assert "GPU" in found[1].split()
    assert found[3].startswith("Loss Loss 1.5 125 ms – 1.00 s")


def test_without_modules_or_a_window_there_is_no_table():
    assert lines(()) == []
    assert lines(MODULES, window=None) == []


def test_a_name_without_a_call_is_a_node_without_times():
    net, loss = tree(MODULES)
    layers = net.below["layers"]
    assert (layers.module, layers.path, list(layers.below)) == (None, "Net.layers", ["0", "1"])
    assert (loss.label, loss.module) == ("Loss", MODULES[-1])


def test_names_from_the_script_cannot_colour_the_terminal():
    evil = (ModuleTime("Net", "[red]a\x1b[31m", "Linear", 4, 1.0, 1.0),)
    text = "\n".join(lines(evil))
    assert "\x1b" not in text
    assert "[red]a" in text
