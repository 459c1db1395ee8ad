"""Which torch, CUDA and cuDNN are installed for an interpreter, read from its folders.

Nothing is imported and no driver is asked, so it costs a start of the interpreter and no more.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from pathlib import Path

from gpudoctor.host.interpreter import Target
from gpudoctor.host.tools import answer_of
from gpudoctor.model.environment import InstalledTorch

_LIMIT_S = 5.0
_ASK = "import json,platform,sys;print(json.dumps([platform.python_version(),sys.path]))"
_CUDNN = re.compile(r"nvidia_cudnn(?:_cu\d+)?-(?P<version>[\w.]+)\.dist-info")


def installed_torch(target: Target, limit_s: float = _LIMIT_S) -> InstalledTorch | None:
    """What `target` would import; None where the interpreter does not even tell its folders."""
    answer = answer_of((target.executable, "-c", _ASK), limit_s, target.environ)
    if answer.error:
        return None
    try:
        version, folders = json.loads(answer.text.strip().splitlines()[-1])
        known = [Path(folder) for folder in folders if folder]
    except (ValueError, TypeError, IndexError, RecursionError):
        return None
    return in_folders(str(version), known)


def in_folders(python: str, folders: Iterable[Path]) -> InstalledTorch:
    """The torch of the first folder that has one."""
    known = list(folders)
    for folder in known:
        told = _constants(folder / "torch" / "version.py")
        if told is not None:
            cuda, hip = told.get("cuda"), told.get("hip")
            return InstalledTorch(python, told.get("__version__"), cuda, hip, _cudnn(known))
    return InstalledTorch(python)


def _constants(path: Path) -> dict[str, str] | None:
    """The names that torch/version.py gives a text; None where there is no such file."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names = [one.id for one in node.targets if isinstance(one, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            continue
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found |= dict.fromkeys(names, node.value.value)
    return found


def _cudnn(folders: Iterable[Path]) -> str | None:
    """The version of NVIDIA's cuDNN wheel; a cuDNN from elsewhere does not tell its version here."""
    for folder in folders:
        try:
            names = [one.name for one in folder.glob("nvidia_cudnn*.dist-info")]
        except OSError:
            continue
        for name in sorted(names):
            match = _CUDNN.fullmatch(name)
            if match:
                return match["version"]
    return None
