"""Run by test_copies.py under torch: which copies are taken for repeated, as JSON. A build without CUDA has
one other device to copy to, "meta"."""

from __future__ import annotations

import gc
import importlib
import json
import sys
import warnings
import weakref
from pathlib import Path
from typing import ClassVar

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from torch.overrides import TorchFunctionMode

from gpudoctor.runner.copies import CopyWatch

torch.set_num_threads(1)
THERE = "meta"
METHODS = ("to", "cuda", "cpu", "copy_")
PLAIN = {name: getattr(torch.Tensor, name) for name in METHODS}
found = {}


def restored():
    return all(
        getattr(torch.Tensor, name) is PLAIN[name] and name not in vars(torch.Tensor)
        for name in METHODS
    )


def watch(run, steps=4):
    watcher = CopyWatch()
    watcher.open()
    try:
        for number in range(steps):
            run(number)
            watcher.step()
    finally:
        watcher.close()
        watcher.close()
    assert restored()
    return [
        {**row, "site": None, "line": row["site"][1], "seconds": row["seconds"] > 0}
        for row in watcher.write()["copies"]
    ]


kept = torch.rand(1000)
there = torch.empty(1000, device=THERE)


class Known(torch.Tensor):
    seen: ClassVar = []

    @classmethod
    def __torch_function__(cls, function, types, arguments=(), options=None):
        cls.seen.append(function is PLAIN["to"] and torch.Tensor.to is PLAIN["to"])
        return super().__torch_function__(function, types, arguments, options or {})


class Mode(TorchFunctionMode):
    seen: ClassVar = []

    def __torch_function__(self, function, types, arguments=(), options=None):
        self.seen.append(function.__name__)
        return function(*arguments, **(options or {}))


def refilled(number):
    kept.fill_(number)
    kept.to(THERE)


def through_numpy():
    buffer = torch.zeros(1000)
    numbers = buffer.numpy()

    def run(number):
        numbers[:] = number
        buffer.to(THERE)

    return run


def under_a_mode(_number):
    with Mode():
        kept.to(THERE)


def of_a_subclass():
    known = kept.as_subclass(Known)
    return lambda _: known.to(THERE)


def failing(_number):
    try:
        kept.to(THERE).to("cpu")
    except NotImplementedError as error:
        found["error"] = type(error).__name__


def traced(_number):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = torch.jit.trace(lambda one: one.to(torch.float64), kept).graph
    found["traced"] = sorted({node.kind() for node in graph.nodes()})


references = []


def dropped(number):
    fresh = torch.rand(10)
    fresh.to(THERE)
    references.append(weakref.ref(fresh))


def results(_number):
    same = [
        torch.equal(kept.to(torch.float64).to(torch.float32), kept),
        kept.to("cpu") is kept,
        kept.cpu() is kept,
        kept.to(device=THERE).device.type == THERE,
        kept.to(THERE, torch.float64, copy=True).dtype == torch.float64,
        there.copy_(kept) is there,
        torch.equal(torch.empty(1000).copy_(kept), kept),
    ]
    found.setdefault("results", []).append(all(same))


def over_ours():
    """The script puts its own method over ours while we watch: it stays."""
    watcher = CopyWatch()
    watcher.open()
    below = torch.Tensor.__dict__["to"]
    torch.Tensor.to = lambda tensor, *arguments: below.__get__(tensor)(*arguments)
    theirs = torch.Tensor.__dict__["to"]
    watcher.close()
    found["over"] = torch.Tensor.__dict__["to"] is theirs and kept.to("cpu") is kept
    # And one that was there before comes back.
    watcher.open()
    watcher.close()
    found["under"] = torch.Tensor.__dict__["to"] is theirs
    del torch.Tensor.to


def taken_along():
    """A method that the script keeps beyond the window works as ever, and is not counted any more."""
    watcher = CopyWatch()
    watcher.open()
    method = kept.to
    watcher.close()
    found["taken"] = all(method("cpu") is kept for _ in range(4)) and method(THERE).is_meta
    for _ in range(4):
        watcher.step()
        method(THERE)
    found["taken_rows"] = watcher.write()["copies"]


def compiling(number):
    if number == 3:
        found["compiled"] = torch.equal(
            torch.compile(lambda one: one.to("cpu") + 1, backend="eager", fullgraph=True)(kept),
            kept + 1,
        )
    kept.to(THERE)


found["kept"] = watch(lambda _: kept.to(THERE))
found["line"] = found["kept"][0].pop("line") if found["kept"] else None
found["view"] = watch(lambda _: kept[:10].to(THERE))
found["into"] = watch(lambda _: there.copy_(kept))
found["twice"] = watch(lambda _: [kept.to(THERE), kept[:500].to(THERE)])
found["seldom"] = watch(lambda number: kept.to(THERE) if number < 2 else None)
found["fresh"] = watch(lambda _: torch.rand(1000).to(THERE))
found["refilled"] = watch(refilled)
found["numpy"] = watch(through_numpy())
shared = torch.rand(1000).share_memory_()
found["shared"] = watch(lambda _: there.copy_(shared))
found["casts"] = watch(lambda _: kept.to(torch.float64))
with torch.inference_mode():
    unversioned = torch.rand(10)
found["unversioned"] = watch(lambda _: unversioned.to(THERE))
found["mode"] = watch(under_a_mode)
found["mode_saw"] = Mode.seen
found["subclass"] = watch(of_a_subclass())
found["subclass_saw"] = Known.seen
found["vmap"] = watch(lambda _: torch.func.vmap(lambda one: one.to(THERE))(kept))
found["failing"] = watch(failing)
found["traced_rows"] = watch(traced)
watch(dropped)
watch(results)
gc.collect()
found["dropped"] = [one() is None for one in references]
over_ours()
taken_along()
# In a script under the runner, its watch of imports tells of a compiler that was not there before.
importlib.import_module("torch._dynamo")
found["compiling"] = watch(compiling)
found["callbacks"] = len(torch._dynamo.callback.callback_handler.start_callbacks)
found["after_compile"] = watch(lambda _: kept.to(THERE))
print(json.dumps(found))
