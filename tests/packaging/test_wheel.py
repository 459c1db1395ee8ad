"""What a user installs: the wheel, the sdist that makes the same wheel, and both away from a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpudoctor import __version__
from gpudoctor.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
NEEDED = (
    "gpudoctor/py.typed",
    "gpudoctor/tui/app.tcss",
    "gpudoctor/checks/data/torch.json",
    "gpudoctor/render/templates/profile.html",
    "gpudoctor/runner/__main__.py",
    "gpudoctor/host/probe_script.py",
    "gpudoctor/_grafana/docker-compose.yml",
    "gpudoctor-agent.pth",
)

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Built:
    """What one build has made."""

    wheel: Path
    sdist: Path


def build(source: Path, out: Path, *kinds: str) -> None:
    targets = [word for kind in kinds for word in ("-t", kind)]
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out), *targets]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Built:
    out = tmp_path_factory.mktemp("dist")
    build(ROOT, out, "sdist", "wheel")
    return Built(next(out.glob("*.whl")), next(out.glob("*.tar.gz")))


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """The bin of an environment with the wheel alone; its dependencies are this environment's."""
    place = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True, timeout=60)
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", place / "bin" / "python", "install", "--quiet",
         "--no-deps", "--no-index", "--disable-pip-version-check", built.wheel],
        check=True, timeout=100,
    )  # fmt: skip
    inside = next(place.glob("lib/python*/site-packages"))
    # A path that a .pth file names is only searched; its own .pth files, an editable one, do not act.
    (inside / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin"


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_has_all_that_is_read_at_run_time_and_no_tests(built):
    names = set(contents(built.wheel))
    assert not set(NEEDED) - names
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "gpudoctor").rglob("*.py")}
    assert not modules - names
    dashboards = {path.name for path in (ROOT / "grafana" / "dashboards").glob("*.json")}
    kept = {Path(name).name for name in names if name.startswith("gpudoctor/_grafana/dashboards/")}
    assert dashboards == kept
    tops = {name.partition("/")[0] for name in names}
    data = f"gpudoctor-{__version__}"
    assert tops == {"gpudoctor", "gpudoctor-agent.pth", f"{data}.dist-info", f"{data}.data"}
    assert not [name for name in names if name.endswith(".pyc") or "/tests/" in name]


def test_the_wheel_has_a_manual_page_of_every_command(built):
    names = [name for name in contents(built.wheel) if "/share/man/man1/" in name]
    pages = {Path(name).name for name in names}
    wanted = {"gpudoctor.1", *(f"gpudoctor-{command.name}.1" for command in COMMANDS)}
    assert pages == wanted


def test_the_sdist_makes_the_same_wheel(built, tmp_path):
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    source = tmp_path / f"gpudoctor-{__version__}"
    assert (source / "LICENSE").is_file()
    assert not (source / "tests").exists()
    build(source, tmp_path / "again", "wheel")
    again, first = contents(next((tmp_path / "again").glob("*.whl"))), contents(built.wheel)
    assert sorted(again) == sorted(first)
    assert [name for name in first if first[name] != again[name]] == []


def call(bin_folder: Path, folder: Path, *words: str) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environ |= {"HOME": str(folder), "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    done = subprocess.run(
        [bin_folder / "gpudoctor", *words],
        cwd=folder, env=environ, capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    return done.stdout


def test_what_is_installed_is_the_wheel_and_not_the_checkout(installed, tmp_path):
    assert call(installed, tmp_path, "--version") == f"gpudoctor {__version__}\n"
    said = call(installed, tmp_path, "--version", "--verbose")
    rows = dict(line.split(maxsplit=1) for line in said.splitlines()[1:])
    assert Path(rows["Package"]).is_relative_to(installed.parent)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--demo", "ps"), "python train.py"),
        (("--demo", "--once"), "H100"),
        (("completion", "bash"), "_GPUDOCTOR_COMPLETE"),
        (("metrics",), "gpudoctor_gpu_up"),
        (("schema", "check"), "$defs"),
        (("check", "--list"), "torch.cpu-build"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_commands_work_away_from_the_checkout(installed, tmp_path, words, said):
    assert said in call(installed, tmp_path, *words)


def test_dashboards_come_out_of_the_wheel(installed, tmp_path):
    call(installed, tmp_path, "dashboards", "--out", "out")
    made = {path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.*")}
    assert made == {path.relative_to(ROOT / "grafana") for path in (ROOT / "grafana").rglob("*.*")}


def test_a_script_is_profiled_and_its_report_written(installed, tmp_path):
    (tmp_path / "tiny.py").write_text("print(sum(i * i for i in range(1000)))\n")
    out = call(
        installed, tmp_path, "profile", "--python", str(installed / "python"),
        "--out", "kept", "tiny.py",
    )  # fmt: skip
    assert out.startswith("332833500\n")
    assert "tiny.py" in (tmp_path / "kept" / "report.html").read_text()


def test_the_manual_pages_lie_where_man_and_pipx_look(installed):
    assert (installed.parent / "share" / "man" / "man1" / "gpudoctor-ps.1").is_file()
