from __future__ import annotations

import sys

import pytest

from tests.runner.harness import INTERPRETERS, plain, session, watched

SCRIPTS = {
    "facts": """
import os, sys
print(__name__, __file__, __package__, __spec__, sys.argv, sys.path[0], os.getcwd())
print(sorted(name for name in globals() if name.startswith('__')))
print(sys.modules['__main__'].__dict__ is globals())
""",
    "exit code": "import sys; sys.exit(7)",
    "exit text": "import sys; sys.exit('that went wrong')",
    "exception": """
def inner():
    raise ValueError('no')
try:
    inner()
except ValueError as error:
    raise RuntimeError('outer') from error
""",
    "syntax error": "x = 1\nif x\n    pass\n",
    "own excepthook": """
import sys, traceback
def hook(kind, error, trace):
    print('hook', kind.__name__, len(traceback.extract_tb(trace)))
sys.excepthook = hook
raise KeyError('x')
""",
    "pickle": """
import pickle
class A:
    pass
print(type(pickle.loads(pickle.dumps(A()))).__name__)
""",
    "workers": """
import multiprocessing
class A:
    pass
def kind(value):
    return type(value).__name__
if __name__ == '__main__':
    for method in ('spawn', 'fork'):
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(method, pool.map(kind, [A()]))
""",
    "atexit and threads": """
import atexit, threading, time
atexit.register(print, 'at exit')
def later():
    time.sleep(0.1)
    print('thread', threading.active_count())
threading.Thread(target=later).start()
print('main', threading.active_count())
""",
    "a module named as one of the runner's": "import sampler; print(sampler.VALUE)",
}


@pytest.mark.parametrize("python", INTERPRETERS)
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_prints_and_ends_as_under_python(name, python, tmp_path):
    (tmp_path / "sampler.py").write_text("VALUE = 'mine'\n")
    (tmp_path / "main.py").write_text(SCRIPTS[name])
    expected = plain(python, "main.py", "--epochs", "3", cwd=tmp_path)
    got = watched(python, tmp_path, "script", "main.py", "--epochs", "3", cwd=tmp_path)
    assert got.stdout == expected.stdout
    assert got.stderr == expected.stderr
    assert got.returncode == expected.returncode
    assert session(tmp_path)["program"] == (
        [] if name == "syntax error" else ["main.py", "--epochs", "3"]
    )


def test_a_module_runs_as_python_runs_it(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(
        "from . import __name__ as name; import sys; print(name, __spec__.name, sys.argv, sys.path[0])"
    )
    expected = plain(sys.executable, "-m", "package", "x", cwd=tmp_path)
    got = watched(sys.executable, tmp_path, "module", "package", "x", cwd=tmp_path)
    assert expected.returncode == 0
    assert got.stdout == expected.stdout


def test_a_missing_module_is_said_in_pythons_words(tmp_path):
    expected = plain(sys.executable, "-m", "not_there", cwd=tmp_path)
    got = watched(sys.executable, tmp_path, "module", "not_there", cwd=tmp_path)
    assert (got.stderr, got.returncode) == (expected.stderr, expected.returncode)


@pytest.mark.parametrize("python", INTERPRETERS)
@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_folder_and_a_zip_file_run_as_under_python(kind, python, tmp_path):
    import zipfile

    (tmp_path / "app").mkdir()
    source = "import sys, helper; print(sys.argv, sys.path[0], helper.X, __name__)"
    (tmp_path / "app" / "__main__.py").write_text(source)
    (tmp_path / "app" / "helper.py").write_text("X = 1")
    target = "app"
    if kind == "zip":
        target = "app.zip"
        with zipfile.ZipFile(tmp_path / target, "w") as archive:
            for name in ("__main__.py", "helper.py"):
                archive.write(tmp_path / "app" / name, name)
    expected = plain(python, target, "1", cwd=tmp_path)
    got = watched(python, tmp_path, "script", target, "1", cwd=tmp_path)
    assert expected.returncode == 0, expected.stderr
    assert (got.stdout, got.stderr) == (expected.stdout, expected.stderr)


def test_code_and_standard_input_run_as_under_python(tmp_path):
    source = "import sys; print(sys.argv, repr(sys.path[0]), __name__)"
    expected = plain(sys.executable, "-c", source, "x", cwd=tmp_path)
    got = watched(sys.executable, tmp_path, "code", source, "x", cwd=tmp_path)
    assert got.stdout == expected.stdout
    expected = plain(sys.executable, "-", "x", cwd=tmp_path, input=source)
    got = watched(sys.executable, tmp_path, "stdin", "-", "x", cwd=tmp_path, input=source)
    assert got.stdout == expected.stdout


def test_the_script_runs_once(tmp_path):
    (tmp_path / "main.py").write_text("open('ran', 'a').write('x')")
    watched(sys.executable, tmp_path, "script", "main.py", cwd=tmp_path)
    assert (tmp_path / "ran").read_text() == "x"


def test_a_script_without_torch_does_not_get_torch(tmp_path):
    (tmp_path / "main.py").write_text("import sys; print('torch' in sys.modules)")
    assert (
        watched(sys.executable, tmp_path, "script", str(tmp_path / "main.py")).stdout == "False\n"
    )
    assert session(tmp_path)["torch"] is None


def test_an_import_of_torch_that_fails_is_reported_and_shown_as_python_shows_it(tmp_path):
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so.12: cannot open')")
    (tmp_path / "main.py").write_text("import torch")
    expected = plain(sys.executable, "main.py", cwd=tmp_path)
    got = watched(sys.executable, tmp_path, "script", "main.py", cwd=tmp_path)
    assert (got.stderr, got.returncode) == (expected.stderr, expected.returncode)
    assert session(tmp_path)["torch"] == {
        "version": None,
        "error": "torch was not imported to its end",
    }
