"""Readers under atheris, which looks for new paths through them: `make fuzz`, not part of the tests.

`python -m tests.fuzz.atheris_targets [SECONDS [NAME…]]` gives each reader in turn so many seconds, in a
process of its own. What a reader may not survive is kept in build/fuzz/found.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import atheris

# atheris names every module that it prepares.
with contextlib.redirect_stderr(io.StringIO()), atheris.instrument_imports(include=["gpudoctor"]):
    from gpudoctor.checks.facts.kernel_log import xids_of
    from gpudoctor.checks.facts.machine import cpu_list
    from gpudoctor.checks.versions import cuda_builds_for, version
    from gpudoctor.config import parse as parse_settings
    from gpudoctor.daemon import access, client, http, listen, pace, policy, webconfig
    from gpudoctor.errors import GpuDoctorError
    from gpudoctor.history import moments
    from gpudoctor.host import owners, proc_files, requirements
    from gpudoctor.host.probe import MARK, Answers
    from gpudoctor.host.visible_devices import resolve
    from gpudoctor.model import recording
    from gpudoctor.model.injection import Visit, VisitEnd
    from gpudoctor.model.probe import TorchBuild
    from gpudoctor.profile import memory_history, modules, pyspy, session, trace, workers
    from gpudoctor.profile.summary import load_profile
    from gpudoctor.reclaim import cache
    from gpudoctor.tui import look
    from gpudoctor.units import printable
    from tests.fuzz.seeds import GPUS, SEEDS, WINDOW
    from tests.profile import build

FOUND = Path("build/fuzz/found")
_LONGEST_INPUT = 4096


@dataclass(frozen=True, slots=True)
class Target:
    """Reads bytes; `refusals` are how it may say that they are none of its kind."""

    read: Callable[[bytes, Path], object]
    refusals: tuple[type[Exception], ...] = (GpuDoctorError,)


def text(read: Callable[[str], object]) -> Callable[[bytes, Path], object]:
    """A reader of text as one of bytes."""
    return lambda data, _: read(data.decode("utf-8", "surrogateescape"))


def file(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    """A reader of a file of that name, in the folder, as one of bytes."""

    def run(data: bytes, folder: Path) -> object:
        (folder / name).write_bytes(data)
        return read(folder / name)

    return run


def of_session(name: str) -> Callable[[bytes, Path], object]:
    """Reads a whole session in which one file is foreign."""

    def run(path: Path) -> object:
        folder, foreign = path.parent, path.read_bytes()
        if name != "session.json" and not (folder / "session.json").exists():
            build.session(folder, window=WINDOW)
            for seed in ("trace", "memory", "modules"):
                (folder / f"{seed}.json").write_bytes(SEEDS[seed])
            path.write_bytes(foreign)
        return load_profile(folder)

    return file(name, run)


def visible(value: str) -> object:
    """CUDA_VISIBLE_DEVICES."""
    return resolve({"CUDA_VISIBLE_DEVICES": value}, GPUS)


def stacks(raw: str) -> object:
    """py-spy's own format."""
    seen = pyspy.parse(raw)
    return pyspy.samples(seen, 10, 1.0), pyspy.threads(seen, 10, 1.0)


def wanted(line: str) -> object:
    """A line of a package's requirements."""
    one = requirements.parse(line)
    if one is not None:
        requirements.applies(one.marker, {"platform_system": "Linux"})
        requirements.satisfies("12.8.1", one.specifier)
    return one


def answers(said: str) -> object:
    """What an interpreter says of itself."""
    return Answers(MARK + said).get("torch", TorchBuild)


def emptied(answer: str) -> object:
    """What a process says that was entered."""
    return cache.report(Visit(7, VisitEnd.DONE, answer, 0.1, 0.0, "a thread"))


TARGETS: dict[str, Target] = {
    "visible": Target(text(visible)),
    "settings": Target(text(lambda it: parse_settings(it, where="it"))),
    "policy": Target(text(lambda it: policy.parse_policy(it, where="it"))),
    "listen": Target(text(listen.parse)),
    "webconfig": Target(file("web.yml", webconfig.read_web_config)),
    "authorization": Target(text(access._name_and_password)),
    "request": Target(lambda data, _: http.parse_head(data), (http.BadRequestError,)),
    "pace": Target(text(pace.parse_pace), (ValueError,)),
    "daemon-answer": Target(lambda data, _: client._parsed(data), (client.NoAnswerError,)),
    "moment": Target(text(moments.moment), (ValueError,)),
    "recording": Target(file("a.jsonl", recording.read)),
    "session": Target(of_session("session.json")),
    "trace": Target(file("trace.json", lambda path: trace.read_trace(path, 77))),
    "modules": Target(file("modules.json", lambda path: modules.read_modules(path.parent))),
    "modules-joined": Target(of_session("modules.json")),
    "memory": Target(file("memory.json", lambda path: memory_history.read_history(path.parent))),
    "worker": Target(
        file(
            "worker-5.json", lambda path: workers.worker_times(workers.read_workers(path.parent), 0)
        )
    ),
    "gpus": Target(of_session("gpus.json")),
    "session-alone": Target(file("session.json", lambda path: session.read_session(path.parent))),
    "py-spy": Target(text(stacks)),
    "requirement": Target(text(wanted)),
    "version": Target(text(lambda it: (version(it), cuda_builds_for(it)))),
    "probe": Target(text(answers)),
    "emptied": Target(text(emptied)),
    "kernel-log": Target(text(lambda it: xids_of(it.splitlines()))),
    "cpus": Target(text(cpu_list)),
    "cgroup": Target(text(lambda it: (proc_files.parse_cgroup(it), owners.parse_owner(it)))),
    "stat": Target(text(proc_files.parse_stat), (ValueError, IndexError)),
    "status": Target(text(proc_files.parse_status)),
    "look": Target(file("ui.json", look.load)),
    "printable": Target(text(lambda it: printable(it).isprintable() or 1 / 0)),
}


def one(name: str, seconds: int) -> None:
    """Fuzzes one reader in this process."""
    target = TARGETS[name]
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="gpudoctor-fuzz-") as folder:
        corpus, work = Path(folder) / "corpus", Path(folder) / "work"
        corpus.mkdir()
        work.mkdir()
        (corpus / "seed").write_bytes(SEEDS.get(name, b"1"))

        def run(data: bytes) -> None:
            try:
                target.read(data, work)
            except target.refusals:
                return

        limits = (f"-max_total_time={seconds}", f"-max_len={_LONGEST_INPUT}", "-timeout=10")
        quiet = ("-print_final_stats=0", "-verbosity=0", f"-artifact_prefix={FOUND}/{name}-")
        atheris.Setup([sys.argv[0], *limits, *quiet, str(corpus)], run)
        atheris.Fuzz()


def main() -> int:
    """All readers, or those that are named; 1 where one was broken."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    FOUND.mkdir(parents=True, exist_ok=True)
    broken = []
    for name in sys.argv[2:] or TARGETS:
        command = [sys.executable, "-m", "tests.fuzz.atheris_targets", "--one", name, str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True)
        print(f"{'ok' if done.returncode == 0 else 'BROKEN':7}{name}", flush=True)
        if done.returncode != 0:
            broken.append(name)
            print((done.stdout + done.stderr)[-4000:])
    print(json.dumps({"readers": len(sys.argv[2:] or TARGETS), "broken": broken}))
    return 1 if broken else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(main())
