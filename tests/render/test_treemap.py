from __future__ import annotations

import json
import re
from dataclasses import replace

from gpudoctor.model.profile import ModuleTime
from gpudoctor.render.profile_html import html
from gpudoctor.render.treemap import boxes, classes, measures, rows
from tests.profile.build import profile

# The window of the profile has four steps.
MODULES = (
    ModuleTime("Net", "", "Net", 4, 0.004, 0.4, 0.0, 0.8, parameters=0, parameter_bytes=0),
    ModuleTime("Net", "layers.0", "Conv2d", 8, 0.2, 0.2, 0.4, 0.4, None, None, 1000, 4000, 2**20),
    ModuleTime("Net", "head", "Linear", 4, 0.04, 0.04),
)
EVIL = ModuleTime("Net", "</script><b>\x1b[31m", "<i>", 4, 1.0, 1.0)


def test_a_boxs_values_are_its_own_and_of_one_step():
    (net,) = boxes(profile(modules=MODULES))["c"]
    layers, head = net["c"]
    (conv,) = layers["c"]
    assert net["v"]["cpu"] == 0.001
    assert conv["v"] == {"cpu": 0.15, "gpu": 0.0, "parameters": 4000, "outputs": 2 * 2**20}
    assert (layers["v"], layers["t"], head["v"]["cpu"]) == ({}, "", 0.01)


def test_a_layer_that_has_but_a_number_is_named_with_its_class():
    (net,) = boxes(profile(modules=MODULES))["c"]
    assert [net["n"], net["c"][0]["n"], net["c"][0]["c"][0]["n"]] == ["Net", "layers", "0 Conv2d"]


def test_unknown_times_are_said_to_be_unknown():
    (net,) = boxes(profile(modules=MODULES))["c"]
    assert "backward –" in net["c"][1]["t"]
    assert "GPU –" in net["t"]


def test_only_what_was_seen_can_be_drawn():
    assert [one.key for one in measures(profile(modules=MODULES))] == [
        "cpu",
        "parameters",
        "outputs",
    ]
    seen = (replace(MODULES[2], device_self_seconds=1.0, device_seconds=1.0),)
    assert [one.key for one in measures(profile(modules=seen))] == ["gpu", "cpu"]
    assert boxes(profile()) is None
    assert boxes(profile(modules=MODULES, window=None)) is None


def test_the_classes_with_most_time_have_colours_and_the_others_none():
    many = tuple(ModuleTime("Net", f"m{i}", f"Kind{i}", 4, i, i) for i in range(12))
    assert classes(profile(modules=many)) == tuple(f"Kind{i}" for i in range(11, 3, -1))
    (net,) = boxes(profile(modules=many))["c"]
    assert {box["n"]: box["k"] for box in net["c"]} | {"m11": 0, "m3": -1} == {
        box["n"]: box["k"] for box in net["c"]
    }


def test_the_table_has_all_with_the_parameters_in_them():
    found = {
        one.path: (one.calls, one.parameters, one.backward)
        for one in rows(profile(modules=MODULES))
    }
    assert found == {
        "Net": ("1", 1000, 0.2),
        "Net.layers.0": ("2", 1000, 0.1),
        "Net.head": ("1", None, None),
    }


def test_a_name_from_the_script_cannot_end_the_script_element():
    page = html(profile(modules=(*MODULES, EVIL)), None)
    assert "<b>" not in page
    assert "<i>" not in page
    assert "\x1b" not in page
    data = re.search(r'<script type="application/json" id="boxes">(.*?)</script>', page, re.DOTALL)
    (net,) = json.loads(data.group(1))["c"]
    assert any(box["n"].startswith("</script><b>") for box in net["c"])


def test_a_report_without_modules_has_no_map():
    page = html(profile(), None)
    assert 'id="map"' not in page
    assert "Modules</h2>" not in page
