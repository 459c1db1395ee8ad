from __future__ import annotations

import io

import pytest
from rich.console import Console

from gpudoctor.cli.fleet import ORDERS
from gpudoctor.model.fleet import Fleet, FleetMachine
from gpudoctor.present.fleet import total_text
from gpudoctor.render.fleet import ordered, table

WELL = FleetMachine("well", True, 8, 0, 0, 0, 0.9, 70.0, 80.0, 5000.0, 70.0, 8, 0.0, 0, 0)
IDLE = FleetMachine("idle", True, 8, 0, 2, 3, 0.1, 40.0, 80.0, 900.0, 35.0, 6, 2.0**30, 0, 0)
SICK = FleetMachine("sick", True, 8, 1, 7, 0, 0.5, 10.0, 80.0, 800.0, 60.0, 1, 0.0, 2, 1)
GONE = FleetMachine("gone", None)
ALL = (WELL, IDLE, SICK, GONE)


PUT_IN_ORDER = {
    "trouble": ["gone", "sick", "idle", "well"],
    "name": ["gone", "idle", "sick", "well"],
    "free": ["sick", "idle", "well", "gone"],
    "util": ["well", "sick", "idle", "gone"],
    "memory": ["well", "idle", "sick", "gone"],
    "power": ["well", "idle", "sick", "gone"],
}


@pytest.mark.parametrize("order", ORDERS)
def test_machines_are_put_in_every_order_that_may_be_asked_for(order):
    assert [machine.instance for machine in ordered(ALL, order)] == PUT_IN_ORDER[order]


def test_the_table_says_what_is_wrong_and_unknown_is_no_zero():
    out = Console(file=io.StringIO(), width=140)
    out.print(table(ordered(ALL, "trouble")))
    rows = {row.split()[0]: row for row in out.file.getvalue().splitlines()[2:] if row.split()}
    assert "does not answer" in rows["gone"]
    assert " 0" not in rows["gone"]
    assert "1 GPU not answering, 2 errors found, 1 Xid today" in rows["sick"]
    assert "3 GPUs held but idle" in rows["idle"]
    assert rows["well"].split() == [
        "well",
        "8",
        "0",
        "90%",
        "88%",
        "5000",
        "W",
        "70°C",
        "8",
        "0",
        "B",
    ]


def test_the_fleet_is_summed_up():
    text = total_text(Fleet(0.0, "http://x", ALL))
    assert text == (
        "3 of 4 machines answer; 24 GPUs, 9 free; 6700 W; 1.0 GiB held by what is left over"
    )


def test_what_nobody_told_is_no_sum():
    assert total_text(Fleet(0.0, "http://x", (GONE,))).endswith("; – GPUs, – free; –")
