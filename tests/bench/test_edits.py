"""The patch is the edit that a user would make, and none where the place is not sure."""

import subprocess

import pytest

from gpudoctor.bench.edits import patch, with_keyword


def test_a_keyword_is_added_behind_the_last_argument():
    source = "loader = DataLoader(\n    data,\n    batch_size=8,\n)\n"
    assert with_keyword(source, "DataLoader", 1, "num_workers", 4) == (
        "loader = DataLoader(\n    data,\n    batch_size=8,\n    num_workers=4,\n)\n"
    )


def test_a_keyword_that_is_there_gets_the_new_value():
    source = "x = torch.utils.data.DataLoader(daten_für_alle, num_workers=workers)  # ä\n"
    changed = with_keyword(source, "DataLoader", 1, "num_workers", 2)
    assert changed == "x = torch.utils.data.DataLoader(daten_für_alle, num_workers=2)  # ä\n"


def test_a_lone_generator_gets_parentheses_of_its_own():
    source = "opt = AdamW(p for p in ps if p.requires_grad)\n"
    changed = with_keyword(source, "AdamW", 1, "fused", True)
    assert changed == "opt = AdamW((p for p in ps if p.requires_grad), fused=True)\n"


@pytest.mark.parametrize(
    "source",
    [
        "a, b = DataLoader(x), DataLoader(y)\n",
        "a = DataLoader(x, **settings)\n",
        "a = make_loader(x)\n",
        "a = DataLoader(x, 8, True, None, None, 2)\n",
    ],
)
def test_there_is_no_patch_where_the_call_is_not_sure(source):
    with pytest.raises(ValueError):
        with_keyword(source, "DataLoader", 1, "num_workers", 4)


def test_the_patch_applies_with_git_and_touches_every_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "main.py"
    script.write_text("import torch\n\ntrain = DataLoader(a)\n\n\n\nvalid = DataLoader(b, 4)\n")
    changed = [{"what": "DataLoader(num_workers)", "site": [str(script), line]} for line in (3, 7)]
    text = patch(None, {"num_workers": 2}, changed, script)
    subprocess.run(["git", "apply", "-"], input=text.encode(), check=True, cwd=tmp_path)
    assert "DataLoader(a, num_workers=2)" in script.read_text()
    assert "DataLoader(b, 4, num_workers=2)" in script.read_text()


def test_a_switch_is_put_below_the_imports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "main.py"
    script.write_text('"""Doc."""\nimport torch\nfrom torch import nn\n\nmodel = nn.Linear(1, 1)\n')
    text = patch("torch.backends.cudnn.benchmark = True", {}, [], script)
    assert "+torch.backends.cudnn.benchmark = True\n" in text
    script.write_text("import torch as t\n")
    assert patch("torch.backends.cudnn.benchmark = True", {}, [], script) is None


def test_a_script_that_is_no_python_has_no_patch(tmp_path):
    script = tmp_path / "main.py"
    script.write_text("def (:\n")
    assert patch("x = 1", {}, [], script) is None
    assert patch("x = 1", {}, [], tmp_path / "missing.py") is None
