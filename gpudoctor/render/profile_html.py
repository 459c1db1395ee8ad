"""report.html of a profile: one file that opens offline."""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Callable
from typing import Any

from jinja2 import Environment

from gpudoctor import __version__, units
from gpudoctor.model.profile import Profile
from gpudoctor.profile.session import SamplesSeen
from gpudoctor.profile.timeline import Timeline
from gpudoctor.render import memory_history, templating, treemap
from gpudoctor.render.charts import HEIGHT, WIDTH, chart
from gpudoctor.render.flame import boxes
from gpudoctor.render.gpu_strip import strips
from gpudoctor.render.loader_workers import TITLES, cells, in_words
from gpudoctor.render.operator_shapes import given
from gpudoctor.render.profile import facts, failed, short, verdict


def html(profile: Profile, samples: SamplesSeen | None, timeline: Timeline | None = None) -> str:
    """The report as one HTML document."""
    made = environment(lambda line: short(line, profile.run.cwd))
    made.filters.update(
        worker=cells,
        workers=in_words,
        given=given,
        memory_words=memory_history.in_words,
        memory_place=memory_history.place,
    )
    context = {**_context(profile, samples), **_modules(profile), "strips": strips(timeline)}
    return made.get_template("profile.html").render(context)


def environment(place: Callable[[str | None], str]) -> Environment:
    """Where the templates and the filters that all of them use come from; `place` shortens a line's."""
    made = templating.environment()
    made.filters["short"] = place
    made.filters["heading"] = heading
    return made


def heading(title: str) -> str:
    """A table's title as the terminal has it, in a page's own way: "NO CPU" is "No CPU"."""
    small = " ".join(word if word == "CPU" else word.lower() for word in title.split(" "))
    return small[:1].upper() + small[1:]


def _context(profile: Profile, samples: SamplesSeen | None) -> dict[str, Any]:
    flame = boxes(samples) if samples is not None else ()
    series = profile.steps.series if profile.steps else ()
    window = profile.window
    return {
        "profile": profile,
        "program": units.printable(shlex.join(profile.run.program)),
        "started": moment(profile.run.started_at),
        "version": __version__,
        "facts": facts(profile),
        "headline": _headline(profile),
        "phases": [phase for phase in window.phases if phase.seconds > 0] if window else [],
        "steps": chart(list(enumerate(series))),
        "memory": chart([(point.at, point.resident_bytes) for point in profile.memory]),
        "flame": flame,
        "flame_rows": max((box.depth for box in flame), default=0) + 1,
        "worker_titles": TITLES,
        "width": WIDTH,
        "height": HEIGHT,
    }


def _modules(profile: Profile) -> dict[str, Any]:
    return {
        "module_boxes": treemap.boxes(profile),
        "module_measures": treemap.measures(profile),
        "module_classes": treemap.classes(profile),
        "module_others": len({one.kind for one in profile.modules}) > treemap.COLOURS,
        "module_rows": treemap.rows(profile),
        "module_backward": any(one.backward_seconds is not None for one in profile.modules),
        "module_device": any(one.device_seconds is not None for one in profile.modules),
    }


def _headline(profile: Profile) -> list[str]:
    if not profile.findings:
        return [line.plain for line in verdict(profile)]
    failure = failed(profile)
    return [] if failure is None else [units.printable(failure)]


def moment(at: float) -> str:
    """A moment in UTC."""
    try:
        return dt.datetime.fromtimestamp(at, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):  # no time that a clock could have shown
        return units.UNKNOWN
