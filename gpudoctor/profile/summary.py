"""Builds the Profile of a session folder."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gpudoctor.errors import GpuDoctorError
from gpudoctor.model.profile import (
    AllocatedGrowth,
    FunctionTime,
    Growth,
    HeldGrowth,
    LoaderTime,
    MemoryPoint,
    ModuleTime,
    OptimizerTime,
    Profile,
    RunFacts,
    StepTimes,
    ThreadTime,
    TorchDevice,
    TorchFacts,
    Window,
)
from gpudoctor.profile import stacks
from gpudoctor.profile.memory_history import read_history
from gpudoctor.profile.modules import module_times, read_modules
from gpudoctor.profile.rules.registry import findings
from gpudoctor.profile.session import Session, Site, StepsSeen, TorchSeen, WindowSeen, read_session
from gpudoctor.profile.timeline import gpu_uses
from gpudoctor.profile.trace import read_trace
from gpudoctor.profile.window import window_of
from gpudoctor.profile.workers import WorkerSeen, read_workers, worker_times
from gpudoctor.units import duration

_MOST_POINTS = 500
_BUSY_MACHINE = 0.10
_LONG_ENOUGH = 1.0
_NEAR = 8
_SCATTERED = 2.0
# What python leaves with; an exit code that the launcher saw goes before it.
_EXIT_CODES = {
    "finished": 0,
    "exception": 1,
    "not started": 1,
    "interrupted": 130,
    "terminated": 143,
}


def load_profile(folder: Path, exit_code: int | None = None) -> Profile:
    """The profile of the session in `folder`, with its findings.

    Raises:
        GpuDoctorError: there is no session that can be read.
    """
    session = read_session(folder)
    window, modules, note = _window(folder, session)
    profile = Profile(
        run=_run(session, exit_code),
        torch=None if session.torch is None else _torch(session.torch),
        steps=_steps(session),
        optimizers=_optimizers(session),
        loaders=_loaders(session, read_workers(folder)),
        window=window,
        functions=_functions(session),
        lines=stacks.lines(session.samples) if session.samples else (),
        growth=_growth(session),
        held=_held(session),
        allocated=tuple(AllocatedGrowth(one.index, tuple(one.sizes)) for one in session.allocated),
        memory=tuple(MemoryPoint(at, size) for at, size in session.memory if size),
        threads=_threads(session),
        gpus=gpu_uses(folder),
        modules=modules,
        memory_history=read_history(folder) if session.window.memory_history else (),
        notes=tuple(
            text
            for text in (*_notes(session), *session.notes, note, _why_no_history(session))
            if text
        ),
    )
    return replace(profile, findings=findings(profile))


def _window(
    folder: Path, session: Session
) -> tuple[Window | None, tuple[ModuleTime, ...], str | None]:
    seen = session.window
    if seen.state != "done" or seen.trace is None:
        return None, (), _why_no_window(session)
    if seen.steps < 1:
        return None, (), "No operators: the script ended in the first step that was profiled."
    called = read_modules(folder) if seen.modules is not None else None
    try:
        trace = read_trace(folder / Path(seen.trace).name, session.pid, seen.ended_at_ns)
        window = window_of(trace, seen)
        window = replace(window, plain_step_seconds=_plain_step(session))
        modules = module_times(called, trace) if called is not None else ()
        return window, modules, _why_no_modules(seen, modules)
    except GpuDoctorError as error:
        modules = module_times(called, None) if called is not None else ()
        return None, modules, f"{error.message}: {error.cause}"


def _why_no_modules(seen: WindowSeen, modules: tuple[ModuleTime, ...]) -> str | None:
    if seen.modules_why is None:
        return None
    return f"{'Some modules are not timed' if modules else 'No modules'}: {seen.modules_why}."


def _why_no_history(session: Session) -> str | None:
    why = session.window.memory_history_why
    return None if why is None else f"No memory history: {why}."


def _plain_step(session: Session) -> float | None:
    """The median of the steps around the window; None where they scatter too much to compare with."""
    seen = next((one for one in _rows(session) if one.count), StepsSeen())
    # `seconds` begins with the second step; the one after the window pays for its end.
    before = session.window.first_step - 1
    after = before + session.window.steps + 1
    near = sorted(
        seen.seconds[max(0, before - _NEAR) : before] + seen.seconds[after : after + _NEAR]
    )
    if len(near) < 3:
        return None
    typical, overall = statistics.median(near), statistics.median(seen.seconds)
    tenth = len(near) // 10
    spread = (near[tenth], near[-1 - tenth])
    if min(*spread, typical, overall) <= 0 or spread[1] > _SCATTERED * spread[0]:
        return None
    return typical if 1 / _SCATTERED <= typical / overall <= _SCATTERED else None


def _rows(session: Session) -> tuple[StepsSeen, StepsSeen, StepsSeen]:
    return session.steps, session.batches, session.forwards


def _why_no_window(session: Session) -> str | None:
    state = session.window.state
    if session.torch is None or session.torch.version is None:
        return None
    if state == "failed":
        return f"torch's profiler could not be used: {session.window.error}"
    if state == "waiting":
        return (
            "No operators: the script ended before a step could be profiled (a step is an optimizer's "
            "step() or, without one, a DataLoader's batch; without both, from about a second after the "
            "import of torch on, a call of a module)."
        )
    return (
        "No operators: the window was still open when the script was gone."
        if state == "active"
        else None
    )


def _notes(session: Session) -> list[str]:
    notes: list[str] = []
    if session.ended.how == "watched":
        return notes
    if session.torch is None:
        notes.append("The script did not import torch: this is a profile of its Python code only.")
    elif session.torch.version is None:
        notes.append("The import of torch failed: this is a profile of the Python code only.")
    waited = min(session.cpu_wait_seconds or 0.0, session.wall_seconds)
    if session.wall_seconds > _LONG_ENOUGH and waited >= _BUSY_MACHINE * session.wall_seconds:
        notes.append(
            f"The machine was busy: the main thread waited {duration(waited)} for a CPU, so times are "
            "longer than on an idle machine." + _crowded(session)
        )
    notes.extend(_elsewhere(session))
    if session.ended.how == "running":
        notes.append(
            "The process was gone before it could say how it ended; its last seconds are missing."
        )
    return notes


def _elsewhere(session: Session) -> Iterator[str]:
    children, own = session.children_cpu_seconds or 0.0, session.cpu_seconds or 0.0
    if any(row.count for row in _rows(session)) or children <= max(_LONG_ENOUGH, own):
        return
    spent = f"{duration(children)} of {duration(children + own)}"
    yield (
        f"Most of the CPU time ({spent}) was used by processes that the script started; they are not "
        "profiled. Ranks are with --nproc-per-node, one that runs is with --pid."
    )


def _crowded(session: Session) -> str:
    threads = session.torch.threads if session.torch is not None else None
    if threads is None or threads < 2 or session.cpus is None:
        return ""
    # Measured on two CPUs that seven others want: 5 (long operators) to 30 times as slow as one thread.
    return (
        f" torch's {threads} threads also wait for the slowest of them at every operator; on a machine that "
        "stays busy, fewer (OMP_NUM_THREADS) can be faster."
    )


def line_of(site: Site) -> str | None:
    """A place in the code as "file:line"."""
    return None if site is None else f"{site[0]}:{site[1]}"


def _run(session: Session, exit_code: int | None) -> RunFacts:
    return RunFacts(
        program=session.program,
        cwd=session.cwd,
        started_at=session.started_at,
        wall_seconds=session.wall_seconds,
        main_cpu_seconds=session.main_cpu_seconds,
        how=session.ended.how,
        exit_code=_exit_code(session) if exit_code is None else exit_code,
        exception=session.ended.text,
        exception_line=line_of(session.ended.site),
        python_version=session.python.version,
        python_executable=session.python.executable,
        held_up_seconds=session.held_up_seconds,
        cpu_wait_seconds=session.cpu_wait_seconds,
        cpu_seconds=session.cpu_seconds,
        cpus=session.cpus,
        cpu_cores=session.cpu.cores,
        cpu_quota=session.cpu.quota,
        local_ranks=session.cpu.local_ranks,
        omp_num_threads=session.cpu.omp_num_threads,
    )


def _exit_code(session: Session) -> int | None:
    known = session.ended.code
    return _EXIT_CODES.get(session.ended.how) if known is None else known


def _torch(seen: TorchSeen) -> TorchFacts:
    return TorchFacts(
        version=seen.version,
        cuda_version=seen.cuda_version,
        cudnn_version=seen.cudnn_version,
        import_seconds=seen.import_seconds,
        threads=seen.threads,
        matmul_tf32=seen.matmul_tf32,
        conv_tf32=seen.conv_tf32,
        cudnn_benchmark=seen.cudnn_benchmark,
        error=seen.error,
        devices=tuple(
            TorchDevice(
                index=one.index,
                name=one.name,
                memory_total_bytes=one.memory_total_bytes,
                memory_peak_bytes=one.memory_peak_bytes,
                memory_reserved_peak_bytes=one.memory_reserved_peak_bytes,
                allocator_retries=one.allocator_retries,
                out_of_memory=one.out_of_memory,
                capability=one.capability,
            )
            for one in seen.devices
        ),
    )


def _steps(session: Session) -> StepTimes | None:
    if session.steps.count:
        return _step_times(session.steps, "optimizer")
    if session.batches.count:
        return _step_times(session.batches, "batch")
    if not session.forwards.count:
        return None
    seen = _step_times(session.forwards, "forward")
    # Calls are counted only until the window is over; the samples know how long the loop went on.
    stacks_seen = session.samples.stacks if session.samples else []
    in_loop = sum(weight for weight, looping, _ in stacks_seen if looping)
    return replace(seen, span_seconds=max(seen.span_seconds, in_loop))


def _step_times(seen: StepsSeen, boundary: str) -> StepTimes:
    ordered = sorted(seen.seconds)
    stride = max(1, -(-len(seen.seconds) // _MOST_POINTS))
    return StepTimes(
        boundary=boundary,
        count=seen.count,
        span_seconds=seen.span_seconds,
        median_seconds=statistics.median(ordered) if ordered else None,
        p95_seconds=ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))] if ordered else None,
        first_seconds=seen.seconds[0] if seen.seconds else None,
        series=tuple(seen.seconds[::stride]),
    )


def _optimizers(session: Session) -> tuple[OptimizerTime, ...]:
    return tuple(
        OptimizerTime(
            name=one.name,
            source_line=line_of(one.built),
            step_line=line_of(one.site),
            steps=one.steps,
            seconds=one.seconds,
            tensors=one.tensors,
            device=one.device,
            foreach=one.foreach,
            fused=one.fused,
            built_in=one.module.startswith("torch."),
        )
        for one in session.optimizers
    )


def _loaders(session: Session, workers: list[WorkerSeen]) -> tuple[LoaderTime, ...]:
    return tuple(
        LoaderTime(
            wait_seconds=one.wait_seconds,
            batches=one.batches,
            num_workers=one.num_workers,
            source_line=line_of(one.site),
            batch_size=one.batch_size,
            pin_memory=one.pin_memory,
            persistent_workers=one.persistent,
            epochs=one.epochs,
            start_seconds=one.start_seconds,
            first_wait_seconds=one.first_wait_seconds,
            workers=worker_times(workers, number),
        )
        for number, one in enumerate(session.loaders)
    )


def _functions(session: Session) -> tuple[FunctionTime, ...]:
    if session.calls is not None:
        return tuple(
            FunctionTime(name, f"{file}:{line}", own, total, calls)
            for name, file, line, _, calls, own, total in session.calls
        )
    return stacks.functions(session.samples) if session.samples else ()


def _threads(session: Session) -> tuple[ThreadTime, ...]:
    return tuple(
        ThreadTime(
            pid=one.pid,
            process=one.process,
            name=one.name,
            main=one.main,
            seconds=one.seconds,
            function=one.function,
            share=one.share,
            source_line=line_of(one.site),
        )
        for one in session.threads
    )


def _growth(session: Session) -> tuple[Growth, ...]:
    return tuple(
        Growth(f"{one.function}: {one.name}", f"{one.file}:{one.line}", tuple(one.sizes))
        for one in session.growth
    )


def _held(session: Session) -> tuple[HeldGrowth, ...]:
    return tuple(
        HeldGrowth(
            f"{one.function}: {one.name}", f"{one.file}:{one.line}", one.device, tuple(one.sizes)
        )
        for one in session.held
    )
