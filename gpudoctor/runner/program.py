"""What `python` itself does before the first line of a script runs: argv, sys.path and `__main__`."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import io
import os
import sys
import types
from typing import List, Optional, Tuple

from .code_paths import count_as_user

Loaded = Tuple[types.CodeType, types.ModuleType]


def load(kind: str, target: str, arguments: List[str]) -> Loaded:
    """The code of the program and the `__main__` that it shall run in; sets sys.argv and sys.path.

    `kind` is "script" (a file, or a folder or zip file with a `__main__`), "module", "code" or "stdin".
    Raises what python would print: SyntaxError, ImportError, OSError.
    """
    if kind == "module":
        return _module(target, arguments)
    if kind == "script":
        if os.path.isdir(target) or _is_archive(target):
            return _container(target, arguments)
        return _script(target, arguments)
    sys.argv[:] = ["-c" if kind == "code" else "-", *arguments]
    _put_first("")
    source = target if kind == "code" else sys.stdin.read()
    name = "<string>" if kind == "code" else "<stdin>"
    count_as_user(name)
    return compile(source, name, "exec", dont_inherit=True), _new_main(None)


def _script(target: str, arguments: List[str]) -> Loaded:
    sys.argv[:] = [target, *arguments]
    path = os.path.abspath(target) if sys.version_info >= (3, 9) else target
    _put_first(os.path.dirname(os.path.realpath(target)))
    with io.open_code(path) as file:
        source = file.read()
    main = _new_main(path)
    main.__dict__["__loader__"] = importlib.machinery.SourceFileLoader("__main__", path)
    return compile(source, path, "exec", dont_inherit=True), main


def _container(target: str, arguments: List[str]) -> Loaded:
    sys.argv[:] = [target, *arguments]
    sys.path.insert(0, os.path.abspath(target))
    spec = importlib.machinery.PathFinder.find_spec("__main__", [sys.path[0]])
    if spec is None:
        raise ImportError(f"can't find '__main__' module in {target!r}")
    return _from_spec(spec)


def _module(name: str, arguments: List[str]) -> Loaded:
    sys.argv[:] = ["-m", *arguments]
    _put_first(os.getcwd())
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(name + ".__main__")
    if spec is None:
        raise ImportError(f"No module named {name}")
    loaded = _from_spec(spec)
    sys.argv[0] = spec.origin or "-m"
    return loaded


def _from_spec(spec: importlib.machinery.ModuleSpec) -> Loaded:
    get_code = getattr(spec.loader, "get_code", None)
    code = None if get_code is None else get_code(spec.name)
    if code is None:
        raise ImportError(f"No code object available for {spec.name}")
    main = _new_main(spec.origin)
    main.__dict__.update(
        __spec__=spec, __package__=spec.parent, __loader__=spec.loader, __cached__=spec.cached
    )
    return code, main


def _new_main(path: Optional[str]) -> types.ModuleType:
    main = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=sys.modules["builtins"], __annotations__={}, __cached__=None)
    if path is not None:
        main.__dict__["__file__"] = path
    return main


def _put_first(entry: str) -> None:
    if not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, entry)


def _is_archive(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False
