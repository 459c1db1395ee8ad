"""The edits of a model's call, each on a script as it is written; what is not sure gets none."""

import pytest

from gpudoctor.bench.edits import patch
from gpudoctor.bench.model_edits import edited

SCRIPT = """\
import torch
from torch import nn

net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten())
net = net.to("cpu")
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for x, y in batches:
    opt.zero_grad()
    out = net(x)

    loss = nn.functional.cross_entropy(out, y)
    loss.backward()
    opt.step()
"""
CALL = 9


def test_the_model_is_compiled_where_it_is_finished():
    assert edited(SCRIPT, "compile", CALL) == SCRIPT.replace(
        'net = net.to("cpu")\n', 'net = net.to("cpu")\nnet.compile()\n'
    )


def test_the_model_and_its_pictures_are_laid_out_anew():
    after = edited(SCRIPT, "memory_format(0)", CALL)
    assert 'net.to("cpu")\nnet.to(memory_format=torch.channels_last)\nopt' in after
    assert "out = net(x.contiguous(memory_format=torch.channels_last))\n" in after


def test_autocast_goes_around_the_forward_pass_and_the_loss_alone():
    after = edited(SCRIPT, "autocast(cuda)", CALL)
    assert after == SCRIPT.replace(
        """\
    out = net(x)

    loss = nn.functional.cross_entropy(out, y)
""",
        """\
    with torch.autocast("cuda", torch.bfloat16):
        out = net(x)

        loss = nn.functional.cross_entropy(out, y)
""",
    )
    compile(after, "main.py", "exec")


def test_a_model_that_a_function_makes_and_trains_is_edited_in_it():
    indented = "".join(f"    {line}\n" if line else "\n" for line in SCRIPT.splitlines()[3:])
    script = f"import torch\nfrom torch import nn\n\ndef main():\n{indented}"
    after = edited(script, "compile", CALL + 1)
    assert '    net = net.to("cpu")\n    net.compile()\n' in after


def test_the_loss_around_the_call_is_not_taken_for_the_model():
    script = SCRIPT.replace("out = net(x)", "loss = criterion(net(x), y)")
    script = script.replace("opt = ", "criterion = nn.CrossEntropyLoss()\nopt = ")
    assert "\nnet.compile()\n" in edited(script, "compile", CALL + 1)
    with pytest.raises(ValueError):
        edited(script.replace("nn.CrossEntropyLoss()", "head"), "compile", CALL + 1)


@pytest.mark.parametrize(
    ("what", "old", "new"),
    [
        ("compile", 'net = net.to("cpu")', "net = other()"),
        ("compile", "out = net(x)", "out = self.net(x)"),
        ("compile", "out = net(x)", "out = net(net(x))"),
        ("memory_format(0)", "out = net(x)", "out = net(x + 1)"),
        ("memory_format(1)", "out = net(x)", "out = net(x)"),
        ("memory_format(0)", "import torch\n", "import torch as t\n"),
        ("autocast(cuda)", "    loss.backward()\n", "    finish(loss)\n"),
        ("autocast(cuda)", "out = net(x)", "out = net(x); print('''\n''')"),
        ("autocast(cuda)", "out = net(x)", "nn.functional.mse_loss(net(x), y).backward()"),
        ("other", "out", "out"),
    ],
)
def test_what_is_not_sure_gets_no_edit(what, old, new):
    with pytest.raises(ValueError):
        edited(SCRIPT.replace(old, new), what, CALL)


def test_the_patch_has_the_edit_of_one_call_and_none_of_two(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "main.py"
    script.write_text(SCRIPT)
    entry = {"what": "compile", "site": [str(script), CALL]}
    assert "+net.compile()\n" in (patch(None, {"compile": True}, [entry], script) or "")
    other = {"what": "compile", "site": [str(script), 4]}
    assert patch(None, {"compile": True}, [entry, other], script) is None
