"""Run by test_modules.py under torch: what the hooks on modules do to a script, as JSON."""

from __future__ import annotations

import gc
import json
import sys
import threading
import weakref
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from torch import nn

from gpudoctor.runner.modules import ModuleWatch

folder = Path(sys.argv[1])
found = {}
torch.set_num_threads(1)
GLOBAL = (nn.modules.module._global_forward_hooks, nn.modules.module._global_forward_pre_hooks)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(8, 8)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.tied = nn.Linear(8, 8)
        self.tied.weight = self.stem.weight

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return {"y": self.tied(x), "all": [x, (x,)]}


class Fails(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(8, 8)

    def forward(self, x):
        raise ValueError(self.inner(x).shape)


class Again(nn.Module):
    def forward(self, x, depth=3):
        return self(x, depth - 1) if depth else x.sum()


def watch(run, steps=1):
    watcher = ModuleWatch(str(folder))
    watcher.open()
    try:
        for _ in range(steps):
            run()
            watcher.step()
    finally:
        watcher.close()
    facts = watcher.write()
    body = json.loads((folder / "modules.json").read_text()) if facts["modules"] else {}
    rows = body.get("modules", [])
    return facts, {f"{row['root']}:{row['name']}": row for row in rows}, body.get("calls")


def results():
    torch.manual_seed(0)
    net, x = Net(), torch.randn(4, 8)
    plain = net(x)["y"]
    plain.sum().backward()
    gradient = net.stem.weight.grad.clone()
    net.zero_grad()
    seen = []

    def run():
        out = net(x)["y"]
        out.sum().backward()
        seen.append(torch.equal(out, plain) and torch.equal(net.stem.weight.grad, gradient))

    facts, rows, calls = watch(run)
    return {"same": seen, "rows": rows, "facts": facts, "calls": len(calls) // 4}


def failing():
    module = Fails()

    def run():
        try:
            module(torch.ones(2, 8))
        except ValueError as error:
            found["error"] = str(error)

    return watch(run, 2)[1]


def threads():
    module = nn.Sequential(nn.Linear(8, 8))

    def run():
        workers = [threading.Thread(target=module, args=(torch.ones(2, 8),)) for _ in range(3)]
        for one in workers:
            one.start()
        for one in workers:
            one.join()

    return watch(run)[1]


def references():
    modules, kept = [nn.Linear(8, 8)], []
    watcher = ModuleWatch(str(folder))
    watcher.open()
    kept.append(weakref.ref(modules[0](torch.ones(2, 8))))
    kept.append(weakref.ref(modules.pop()))
    gc.collect()
    watcher.close()
    return [one() is None for one in kept]


def unusual():
    scripted = torch.jit.script(nn.Sequential(nn.Linear(8, 8), nn.ReLU()))
    lazy = nn.LazyLinear(3)
    traced = []

    class Odd(nn.Module):
        __hash__ = None

        def __eq__(self, other):
            raise RuntimeError("never compare me")

        def named_modules(self, *args, **kwargs):
            raise RuntimeError("never ask me")

        def forward(self, x):
            return x

    odd = Odd()

    def run():
        x = torch.ones(2, 8)
        scripted(x)
        lazy(x)
        odd(x)
        with torch.no_grad():
            graph = torch.jit.trace(nn.Linear(8, 8), x).graph
        traced.append(sorted({node.kind() for node in graph.nodes()}))

    facts, rows, _ = watch(run)
    return {"rows": rows, "facts": facts, "traced": traced}


def interrupted():
    class Slow(nn.Module):
        def forward(self, x):
            if x.sum() > 0:
                raise KeyboardInterrupt
            return x

    slow, fine, ones = Slow(), nn.Linear(8, 8), [torch.ones(2, 8)]

    def run():
        try:
            slow(ones[0])
        except KeyboardInterrupt:
            ones[0] = -ones[0]
        else:
            fine(ones[0])

    return watch(run, 2)[1]


def inside_a_hook():
    """A window that is driven by a hook on modules, as that of a script without an optimizer."""
    watcher, module = ModuleWatch(str(folder)), nn.Sequential(nn.Linear(8, 8))
    ended = []

    def after(one, args, output):
        if one is not module:
            return
        ended.append(one)
        if len(ended) == 1:
            watcher.open()
        elif len(ended) < 4:
            watcher.step()
        else:
            watcher.close()
            watcher.write()

    handle = nn.modules.module.register_module_forward_hook(after)
    for _ in range(6):
        module(torch.ones(2, 8))
    handle.remove()
    rows = json.loads((folder / "modules.json").read_text())["modules"]
    return {f"{row['root']}:{row['name']}": row for row in rows}


found["results"] = results()
found["failing"] = failing()
again = Again()
found["recursive"] = watch(lambda: again(torch.ones(2)))[1]
found["threads"] = threads()
found["references"] = references()
found["unusual"] = unusual()
found["inside"] = inside_a_hook()
found["interrupted"] = interrupted()
found["dynamic"] = watch(lambda: [nn.Sequential(nn.Linear(8, 8))(torch.ones(1, 8)) for _ in "abc"])[
    1
]
found["left"] = [len(hooks) for hooks in GLOBAL]
compiled = torch.compile(Net(), backend="eager")
found["compiled"] = watch(lambda: compiled(torch.ones(1, 8)))[0]
print(json.dumps(found))
