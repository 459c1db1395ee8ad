"""Scripts with a mistake, and scripts that look like it and have none."""

from __future__ import annotations

from tests.checks.cases_gpu import Case
from tests.checks.world import script

LOOP = """
    import torch, torch.nn as nn
    model = nn.Linear(2, 2).cuda()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    total = 0
    for epoch in range(3):
{before}
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward({backward})
            optimizer.step()
            {each}
{after}
"""


def loop(each: str = "pass", before: str = "", after: str = "", backward: str = "") -> object:
    def put(text: str) -> str:
        return f"        {text}" if text else ""

    return script(LOOP.format(each=each, before=put(before), after=put(after), backward=backward))


def evaluation(
    decorator: str = "", inside: str = "out = model(x)", call: str = "evaluate(net, data)"
) -> object:
    return script(
        f"""
import torch
{decorator or "pass"}
def evaluate(model, loader):
    model.eval()
    for x in loader:
        {inside}
{call}
""".replace("pass\ndef", "def")
    )


DDP = (
    "import torch\nfrom torch.nn.parallel import DistributedDataParallel as DDP\nmodel = DDP(net)\n"
)
LOADER = "from torch.utils.data import DataLoader\ndevice = 'cuda'\n"
CASES: list[Case] = [
    (
        "script.visible-devices-late",
        script(
            """
            import os, torch
            device = "cuda" if torch.cuda.is_available() else "cpu"
            os.environ["CUDA_VISIBLE_DEVICES"] = "1"
            """
        ),
        "no effect",
    ),
    (
        "script.visible-devices-late",
        script(
            """
            import os, torch
            model = torch.nn.Linear(1, 1).to("cuda:0")
            os.environ.setdefault("CUDA_VISIBLE_DEVICES", "1")
            """
        ),
        "no effect",
    ),
    (
        "script.visible-devices-late",
        script(
            """
            import os, torch
            os.environ["CUDA_VISIBLE_DEVICES"] = "1"
            torch.cuda.is_available()
            """
        ),
        None,
    ),
    (
        "script.visible-devices-late",
        script(
            """
            import os, torch
            def probe(): return torch.cuda.is_available()
            def main(): os.environ["CUDA_VISIBLE_DEVICES"] = "1"
            """
        ),
        None,
    ),
    (
        "script.visible-devices-late",
        script(
            """
            import os, torch
            if args.cpu:
                torch.cuda.init()
            else:
                os.environ["CUDA_VISIBLE_DEVICES"] = "1"
            """
        ),
        None,
    ),
    (
        "script.benchmark-deterministic",
        script(
            """
            import torch.backends.cudnn as cudnn
            cudnn.benchmark = True
            cudnn.deterministic = True
            """
        ),
        "both switched on",
    ),
    (
        "script.benchmark-deterministic",
        script(
            """
            import torch
            if fast:
                torch.backends.cudnn.benchmark = True
            else:
                torch.backends.cudnn.deterministic = True
            """
        ),
        None,
    ),
    (
        "script.determinism",
        script(
            """
            import torch
            torch.manual_seed(0)
            torch.use_deterministic_algorithms(True)
            x = torch.ones(1).cuda()
            """
        ),
        "CUBLAS_WORKSPACE_CONFIG",
    ),
    (
        "script.determinism",
        script("import torch\ntorch.use_deterministic_algorithms(True, warn_only=True)"),
        "nothing is seeded",
    ),
    (
        "script.determinism",
        script(
            """
            import os, torch
            os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
            set_seed(1)
            torch.use_deterministic_algorithms(True)
            x = torch.ones(1).cuda()
            """
        ),
        None,
    ),
    (
        "script.launch-blocking",
        script("import os\nos.environ['CUDA_LAUNCH_BLOCKING'] = '1'"),
        "left on",
    ),
    (
        "script.launch-blocking",
        script("import os\nif debug:\n    os.environ['CUDA_LAUNCH_BLOCKING'] = '1'"),
        None,
    ),
    (
        "script.anomaly-detection",
        script("import torch\ntorch.autograd.set_detect_anomaly(True)"),
        "whole run",
    ),
    (
        "script.anomaly-detection",
        script("import torch\ntorch.autograd.set_detect_anomaly(args.debug)"),
        None,
    ),
    (
        "script.tf32-mixed",
        script(
            """
            import torch
            torch.backends.cuda.matmul.allow_tf32 = True
            torch.backends.cuda.matmul.fp32_precision = "tf32"
            """
        ),
        "both set",
    ),
    (
        "script.tf32-mixed",
        script(
            """
            import torch
            torch.backends.cuda.matmul.allow_tf32 = True
            torch.backends.cudnn.allow_tf32 = True
            """
        ),
        None,
    ),
    ("script.loss-accumulated", loop("total += loss"), "keeps the graph"),
    ("script.loss-accumulated", loop("total += loss / 8"), "keeps the graph"),
    ("script.loss-accumulated", loop("losses.append(loss)"), "keeps the graph"),
    ("script.loss-accumulated", loop("total += loss.item()"), None),
    ("script.loss-accumulated", loop("total += float(loss)"), None),
    ("script.loss-accumulated", loop("loss = loss.detach(); total += loss"), None),
    ("script.loss-accumulated", loop("total += loss; total = 0"), None),
    ("script.sync-every-step", loop("print(loss.item())"), "every step"),
    ("script.sync-every-step", loop("\n            if step % 50 == 0: print(loss.item())"), None),
    ("script.sync-every-step", loop(after="print(loss.item())"), None),
    ("script.sync-every-step", loop("if loss.item() > 9: break"), "every step"),
    ("script.sync-every-step", loop("if step % 50 == 0 and loss.item() > 9: break"), None),
    (
        "script.sync-every-step",
        loop(
            "out = model(x)\n            for row in range(8):\n                n += out[row].argmax().item()"
        ),
        "out[row].argmax().item()",
    ),
    ("script.sync-every-step", loop("n += model(x).argmax(1).sum().item()"), "every step"),
    (
        "script.sync-every-step",
        loop(
            "out = model(x)\n            _, best = out.max(1)\n            right += best.eq(y).sum().item()"
        ),
        "best.eq(y).sum().item()",
    ),
    ("script.sync-every-step", loop("right += y.sum().item()"), None),
    ("script.empty-cache", loop("torch.cuda.empty_cache()"), "every training step"),
    ("script.empty-cache", loop(after="torch.cuda.empty_cache()"), None),
    ("script.retain-graph", loop(backward="retain_graph=True"), "no second backward"),
    ("script.retain-graph", loop("other.backward()", backward="retain_graph=True"), None),
    (
        "script.zero-grad",
        script(
            """
            import torch
            optimizer = torch.optim.Adam(model.parameters())
            for x, y in loader:
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
            """
        ),
        "nothing resets",
    ),
    ("script.zero-grad", loop(), None),
    (
        "script.zero-grad",
        script(
            """
            import torch
            optimizer = torch.optim.Adam(model.parameters())
            for x, y in loader:
                for p in model.parameters():
                    p.grad = None
                loss = criterion(model(x), y)
                loss.backward()
                optimizer.step()
            """
        ),
        None,
    ),
    ("script.scheduler-order", loop(before="scheduler.step()"), "comes before"),
    ("script.scheduler-order", loop(after="scheduler.step()"), None),
    ("script.scheduler-order", loop("scheduler.step()"), None),
    ("script.evaluation-gradients", evaluation(), "records gradients"),
    ("script.evaluation-gradients", evaluation(call=""), None),
    ("script.evaluation-gradients", evaluation("@torch.no_grad()"), None),
    ("script.evaluation-gradients", evaluation("@smart_inference_mode()"), None),
    (
        "script.evaluation-gradients",
        evaluation(inside="\n        with torch.inference_mode(): out = model(x)"),
        None,
    ),
    (
        "script.evaluation-gradients",
        evaluation(call="with torch.no_grad():\n    evaluate(net, data)"),
        None,
    ),
    (
        "script.evaluation-gradients",
        script(
            """
            import torch
            for epoch in range(3):
                model.train()
                for x, y in data:
                    loss = f(model(x), y)
                    loss.backward()
                model.eval()
                for x, y in valid:
                    right += (model(x).argmax(1) == y).sum()
            """
        ),
        "records gradients",
    ),
    (
        "script.evaluation-gradients",
        script(
            """
            import torch
            model.eval()
            for x in data:
                x.requires_grad_(True)
                model(x).sum().backward()
            """
        ),
        None,
    ),
    ("script.loader-workers", script(LOADER + "DataLoader(data, batch_size=8)"), "num_workers=0"),
    ("script.loader-workers", script(LOADER + "DataLoader(data, num_workers=n)"), None),
    ("script.loader-workers", script(LOADER + "DataLoader(data, **options)"), None),
    (
        "script.loader-workers",
        script(
            LOADER
            + "from torch.utils.data import TensorDataset\ndata = TensorDataset(x)\nDataLoader(data)"
        ),
        None,
    ),
    (
        "script.loader-workers",
        script("from torch.utils.data import DataLoader\nDataLoader(data)"),
        None,
    ),
    (
        "script.data-parallel",
        script("from torch import nn\nmodel = nn.DataParallel(model)"),
        "DistributedDataParallel",
    ),
    (
        "script.data-parallel",
        script("from torch import nn\nif isinstance(model, nn.DataParallel): model = model.module"),
        None,
    ),
    (
        "script.distributed-sampler",
        script(DDP + LOADER + "DataLoader(data, shuffle=True, num_workers=4)"),
        "every rank",
    ),
    (
        "script.distributed-sampler",
        script(
            DDP
            + "from torch.utils.data import DistributedSampler\n"
            + "sampler = DistributedSampler(data)\nfor epoch in range(3): train()"
        ),
        "same order",
    ),
    (
        "script.distributed-sampler",
        script(
            DDP
            + "from torch.utils.data import DistributedSampler\n"
            + "sampler = DistributedSampler(data)\n"
            + "for epoch in range(3): sampler.set_epoch(epoch)"
        ),
        None,
    ),
    (
        "script.map-location",
        script(DDP + "device = 'cuda'\nmodel.load_state_dict(torch.load('a.pt'))"),
        "without map_location",
    ),
    (
        "script.map-location",
        script(DDP + "device = 'cuda'\nmodel.load_state_dict(torch.load('a.pt', 'cpu'))"),
        None,
    ),
    ("script.map-location", script(DDP + "device = 'cuda'\nx = torch.load('x.pt')"), None),
    (
        "script.map-location",
        script(DDP + "device = 'cuda'\nself.lr_scheduler.load_state_dict(torch.load('s.pt'))"),
        None,
    ),
    (
        "script.launch-blocking",
        script("import os\ndef deterministic():\n    os.environ['CUDA_LAUNCH_BLOCKING'] = '1'"),
        None,
    ),
    (
        "script.zero-grad",
        script(
            """
            import torch
            for x in batches:
                optimizer = torch.optim.SGD([x], 0.1)
                loss = f(x)
                loss.backward()
                optimizer.step()
            """
        ),
        None,
    ),
    ("script.removed", script("import torch\ne, v = torch.symeig(a)"), "torch.symeig"),
    ("script.removed", script("it = iter(loader)\nx = it.next()"), "it.next()"),
    ("script.removed", script("from torch.utils import bottleneck"), "bottleneck"),
    ("script.removed", script("import mylib as torch\ntorch.symeig(a)\nx = node.next()"), None),
    (
        "script.removed",
        script(
            """
            try:
                from apex import amp
            except ImportError:
                amp = None
            with amp.scale_loss(loss, optimizer) as scaled: scaled.backward()
            """
        ),
        None,
    ),
    (
        "script.deprecated",
        script("import torch\ntorch.set_default_tensor_type(torch.FloatTensor)"),
        "set_default_tensor_type",
    ),
    (
        "script.deprecated",
        script("from torch.autograd import profiler\nwith profiler.profile(use_cuda=True): f()"),
        "use_cuda",
    ),
    ("script.deprecated", script("import torch\nwith torch.amp.autocast('cuda'): f()"), None),
    (
        "script.deprecated",
        script(
            """
            import torch
            try:
                scaler = torch.amp.GradScaler("cuda")
            except AttributeError:
                scaler = torch.cuda.amp.GradScaler()
            """
        ),
        None,
    ),
]
