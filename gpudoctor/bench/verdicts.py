"""The verdict in a few sentences: only what the intervals allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpudoctor.bench.statistics import UNSTEADY
from gpudoctor.model.bench import BenchResult, Ratio, Status


def of_modes(subject: str, results: Sequence[BenchResult]) -> str:
    """What is said about one network: a sentence or two for each mode."""
    baseline = results[0]
    if baseline.status is not Status.MEASURED:
        return f"{subject}: nothing could be compared, since the default run failed: {baseline.reason}."
    parts = [_bits(baseline)] if baseline.equality else []
    parts += [_mode(result) for result in results[1:]]
    return f"{subject}: {'. '.join(parts)}."


def _mode(result: BenchResult) -> str:
    if result.status is not Status.MEASURED:
        return f"{result.setting} failed ({result.reason})"
    said = [f"{result.setting} {speed(result.speedup)}"]
    if result.payback_steps is not None:
        said.append(f"pays back after {result.payback_steps} steps")
    more = [word for word in (_reproducible(result),) if word]
    if result.operators:
        names = ", ".join(operator.name for operator in result.operators)
        more.append(f"has no deterministic version of {names}")
    if more and result.speedup is not None and _unsteady(result.speedup):
        return f"{_listed(said)}. It {_listed(more)}"
    return _listed(said + more)


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def speed(ratio: Ratio | None) -> str:
    """What may be said about a ratio, with its interval."""
    if ratio is None:
        return "had too few rounds for a claim"
    interval = f"[{ratio.low:.2f}–{ratio.high:.2f}]"
    if ratio.faster:
        return f"is {ratio.value:.2f}× as fast {interval}"
    if ratio.slower:
        return f"costs {(1 / ratio.value - 1) * 100:.0f} % {interval}"
    if _unsteady(ratio):
        return f"cannot be told apart in speed: the timings scatter too much {interval}"
    return f"shows no difference in speed {interval}"


def _unsteady(ratio: Ratio) -> bool:
    shown = ratio.faster or ratio.slower
    return not shown and ratio.high > ratio.low * UNSTEADY


def _reproducible(result: BenchResult) -> str:
    if result.equality is None:
        return ""
    return "is bitwise reproducible" if result.equality.bitwise else "is not bitwise reproducible"


def _bits(result: BenchResult) -> str:
    return f"{result.setting} {_reproducible(result)}"


def of_script(subject: str, results: Sequence[BenchResult]) -> str:
    """The sentence about the what-if runs of a script."""
    return f"{subject}: {'; '.join(_of_script(results))}."


def _of_script(results: Sequence[BenchResult]) -> Iterator[str]:
    measured = [r for r in results if r.speedup is not None]
    gains = sorted(
        (r for r in measured if r.speedup and r.speedup.faster), key=_value, reverse=True
    )
    if gains:
        yield f"{gains[0].setting} {speed(gains[0].speedup)}"
        if len(gains) > 1:
            others = ", ".join(f"{r.setting} {_value(r):.2f}×" for r in gains[1:])
            yield f"also faster, each alone: {others}"
    elif measured:
        names = ", ".join(result.setting for result in measured)
        unsteady = ", ".join(r.setting for r in measured if r.speedup and _unsteady(r.speedup))
        doubt = f" (the timings of {unsteady} scatter too much to tell)" if unsteady else ""
        yield f"nothing is gained, as far as can be shown, by {names}{doubt}"
    else:
        yield "no setting could be compared with the unchanged run often enough for a claim"
    operators = [o for r in results for o in r.operators]
    if operators:
        places = (f"{o.name} ({o.source_line})" if o.source_line else o.name for o in operators)
        yield f"without a deterministic version: {', '.join(dict.fromkeys(places))}"


def _value(result: BenchResult) -> float:
    return result.speedup.value if result.speedup else 0.0
