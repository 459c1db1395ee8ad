"""Writes docs/performance.md from what benchmarks/results holds: wins, losses, spread, when and where.

python -m tools.performance
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "performance.md"
RESULTS = ROOT / "benchmarks" / "results"
Result = Mapping[str, Any]

_HEAD = """\
# Performance

Made by `python -m tools.performance` from [benchmarks/results](../benchmarks/results), which `make bench`
writes. gpudoctor and its peers take turns in the same run, on the simulated driver; where there were several
rounds, the least and the most are told beside the median. No real GPU was there: what a driver call costs on
one is in none of these numbers.

## Against the peers

Above 1×, in bold, gpudoctor costs more. What was measured in a single round is below, and not compared here.

"""
_TITLES = {
    "startup": "Start-up",
    "ps": "The list of processes",
    "check": "gpudoctor check",
    "inject_stress": "empty-cache: entering processes while they compute",
    "inject_aarch64": "The same on aarch64 (emulated)",
}
_FIRST = ("startup", "ps", "check", "sample", "scrape", "ui", "profile_overhead", "trace_read")
_FIRST += ("fleet", "inject_stress", "inject_aarch64", "soak")
# What is said of a run as a whole, or too long for a page.
_ASIDE = {
    "title",
    "measured_at",
    "python",
    "system",
    "cpus",
    "processor",
    "versions",
    "aim",
    "rows",
}
_ASIDE |= {"load_average_before", "failed", "ratios", "runs", "interrupted", "dashboard_slowest"}
_ASIDE |= {"sample_cpu_ms", "binding_calls_cpu_ms", "bare_calls_cpu_ms"}
_ASIDE |= {"ratio_to_binding_calls", "ratio_to_bare_calls"}
_WORDS = {
    "wall_median_s": "median",
    "wall_min_s": "least",
    "wall_max_s": "most",
    "cpu_median_s": "CPU",
    "ratio": "to the first",
    "rounds": "rounds",
    "scrape_median_s": "scrape",
    "scrape_p99_s": "99th percentile",
    "cpu_idle_ratio": "CPU, not scraped",
    "cpu_scraped_ratio": "CPU, scraped",
    "resident_bytes": "memory",
    "allocated_bytes": "memory in use",
    "blocks": "Python's blocks",
    "body_bytes": "body",
    "wall_s": "wall time",
    "wall_ratio": "of it",
    "loop_ratio": "loop",
    "loop_cpu_ratio": "loop's CPU",
    "step_ratio": "median step",
    "best_s": "best",
    "peak_bytes": "memory",
    "peak_ratio": "to the file",
    "first_frame_s": "first frame",
    "cpu_to_first_frame_s": "CPU until then",
    "cpu_ratio": "CPU",
    "cpu_ms": "CPU",
}
_SHARES = {"cpu_ratio", "cpu_idle_ratio", "cpu_scraped_ratio"}


class Comparison(NamedTuple):
    """One line against a peer. `key` is the number in a row of the results; less is better."""

    what: str
    file: str
    ours: str
    peer: str
    key: str


_PEER_ROWS = (
    Comparison(
        "`--version`", "startup", "gpudoctor --version", "nvitop --version", "wall_median_s"
    ),
    Comparison("`--version`", "startup", "gpudoctor --version", "python -c pass", "wall_median_s"),
    Comparison("`ps --json`", "ps", "gpudoctor ps --json", "nvitop -1", "wall_median_s"),
    Comparison("`ps`", "ps", "gpudoctor ps", "nvitop -1", "wall_median_s"),
    Comparison("`ps --json`", "ps", "gpudoctor ps --json", "gpustat --json", "wall_median_s"),
    Comparison("a sample, CPU", "sample", "gpudoctor", "its calls, by nvidia-ml-py", "cpu_ms"),
    Comparison("a scrape", "scrape", "gpudoctor serve", "nvitop-exporter", "scrape_median_s"),
    Comparison(
        "its 99th percentile", "scrape", "gpudoctor serve", "nvitop-exporter", "scrape_p99_s"
    ),
    Comparison("daemon, CPU", "scrape", "gpudoctor serve", "nvitop-exporter", "cpu_scraped_ratio"),
    Comparison("daemon, memory", "scrape", "gpudoctor serve", "nvitop-exporter", "resident_bytes"),
    Comparison("UI, first frame", "ui", "gpudoctor", "nvitop", "first_frame_s"),
    Comparison("UI, CPU", "ui", "gpudoctor", "nvitop", "cpu_ratio"),
    Comparison("UI, memory", "ui", "gpudoctor", "nvitop", "resident_bytes"),
    Comparison("reading a trace", "trace_read", "gpudoctor", "json.load", "best_s"),
    Comparison("memory for it", "trace_read", "gpudoctor", "json.load", "peak_bytes"),
    Comparison(
        "profiling, a step", "profile_overhead", "gpudoctor profile", "cProfile", "step_ratio"
    ),
)


def results() -> dict[str, Result]:
    """What was measured, by the measurement's name, the most asked-for first."""
    read = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    # What only says whether something works is told in docs/compatibility.md.
    found = {name: result for name, result in read.items() if "measured_at" in result}
    order = [*(name for name in _FIRST if name in found), *sorted(found.keys() - set(_FIRST))]
    return {name: found[name] for name in order}


def page(found: Mapping[str, Result]) -> str:
    """docs/performance.md."""
    lines = ["| | gpudoctor | spread | peer | | ratio |", "|---|--:|--:|---|--:|--:|"]
    lines += [_against(*compared) for compared in _comparisons(found)]
    parts = [_HEAD + "\n".join(lines) + "\n"]
    parts += [_section(name, result) for name, result in found.items()]
    return "\n".join(parts)


def _comparisons(found: Mapping[str, Result]) -> Iterator[tuple[Comparison, Result, Result, str]]:
    for line in _PEER_ROWS:
        if line.file not in found:
            continue
        for where, rows in _tables(found[line.file]):
            if rows[0].get("rounds") == 1:
                continue
            ours = [row for row in rows if row["name"] == line.ours]
            theirs = [row for row in rows if row["name"] == line.peer]
            for mine, peer in zip(ours, theirs, strict=True):
                yield line, mine, peer, where or _size(mine)


def _size(row: Result) -> str:
    return f"{row['gpus']} GPUs, {row['processes']} processes" if "gpus" in row else ""


def _against(comparison: Comparison, mine: Result, peer: Result, where: str) -> str:
    key = comparison.key
    ratio = mine[key] / peer[key]
    shown = f"**{ratio:.2f}×**" if ratio > 1 else f"{ratio:.2f}×"
    what = f"{comparison.what}, {where}" if where else comparison.what
    return (
        f"| {what} | {_value(key, mine[key])} | {_spread(key, mine)} | `{comparison.peer}` "
        f"| {_value(key, peer[key])} | {shown} |"
    )


def _spread(key: str, row: Result) -> str:
    if key == "wall_median_s":
        return f"{_value(key, row['wall_min_s'])} – {_value(key, row['wall_max_s'])}"
    seen = [run[key] for run in row.get("runs", ()) if key in run]
    return f"{_value(key, min(seen))} – {_value(key, max(seen))}" if seen else "–"


def _section(name: str, result: Result) -> str:
    title = result.get("title") or _TITLES.get(name, name)
    lines = [f"## {title[0].upper()}{title[1:]}", "", _when(result), ""]
    if "aim" in result:
        lines += [f"The aim: {result['aim']}.", ""]
    for where, rows in _tables(result):
        lines += [f"### {where[0].upper()}{where[1:]}", ""] if where else []
        lines += [*_table(rows), ""]
    flat = list(_scalars(result))
    if flat:
        lines += ["| | |", "|---|--:|", *(f"| {said} | {value} |" for said, value in flat), ""]
    return "\n".join(lines)


def _when(result: Result) -> str:
    day, _, clock = result["measured_at"].partition("T")
    told = json.dumps({key: value for key, value in result.items() if key != "versions"})
    versions = ", ".join(
        f"{name} {version}"
        for name, version in result["versions"].items()
        if version and (name in told or name == "gpudoctor")
    )
    machine = f"{result['system']}, {result['cpus']} CPUs"
    if result.get("processor"):
        machine += f" ({result['processor']})"
    if "load_average_before" in result:
        machine += f", load {result['load_average_before']:.1f} when it began"
    return f"{day} {clock[:5]} UTC; {machine}; Python {result['python']}; {versions}."


def _tables(result: Result) -> Iterator[tuple[str, list[Result]]]:
    """The tables of a result, each with what it is about where there are several."""
    for key in ("timings", "costs", "results"):
        if key in result:
            yield "", result[key]
    if "readers" in result:
        yield "", [{"name": name, **row} for name, row in result["readers"].items()]
    if "sample_cpu_ms" in result:
        yield (
            "",
            [
                {"name": "gpudoctor", "cpu_ms": result["sample_cpu_ms"]},
                {"name": "its calls, by nvidia-ml-py", "cpu_ms": result["binding_calls_cpu_ms"]},
                {"name": "its calls, in C", "cpu_ms": result["bare_calls_cpu_ms"]},
            ],
        )
    for name, case in result.get("cases", {}).items():
        yield name, case["costs"]


def _table(rows: list[Result]) -> list[str]:
    keys = [key for key in rows[0] if key not in _ASIDE and key != "name"]
    lines = ["| | " + " | ".join(_words(key) for key in keys) + " |"]
    lines.append("|---|" + "--:|" * len(keys))
    for row in rows:
        cells = " | ".join(_value(key, row[key]) for key in keys)
        lines.append(f"| {row['name']} | {cells} |")
    return lines


def _scalars(result: Result) -> Iterator[tuple[str, str]]:
    for key, value in result.items():
        if key in _ASIDE:
            continue
        if isinstance(value, Mapping) and key not in ("readers", "cases"):
            yield from ((f"{_words(key)}: {said}", shown) for said, shown in _scalars(value))
        elif isinstance(value, str | int | float):
            yield _words(key), _value(key, value)


def _words(key: str) -> str:
    return _WORDS.get(key) or key.removesuffix("_s").removesuffix("_ms").replace("_", " ")


def _value(key: str, value: Any) -> str:
    """A number with its unit, which its name tells."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    if key in _SHARES:
        return f"{value:.1%}"
    if key.endswith("_bytes"):
        return f"{value / 1e6:,.1f} MB"
    if key.endswith("_ms"):
        return _time(value / 1e3)
    if key.endswith("_s") or key == "seconds":
        return _time(value)
    if "ratio" in key:
        return f"{value:.2f}×"
    return f"{value:,.0f}"


def _time(seconds: float) -> str:
    if seconds < 0.1:
        return f"{seconds * 1e3:.1f} ms"
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(results()))


if __name__ == "__main__":
    main()
