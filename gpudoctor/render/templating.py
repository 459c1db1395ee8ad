"""Where the HTML of reports comes from: templates that escape all they are given."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from gpudoctor import units


def environment() -> Environment:
    """The templates of this room, with the filters that all of them use."""
    made = Environment(
        loader=PackageLoader("gpudoctor.render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        duration=units.duration,
        percent=units.percent,
        count=units.count,
        size=units.data_size,
        text=units.text,
        printable=units.printable,
    )
    return made
