"""`gpudoctor schema NAME`: the JSON schemas of what --json prints."""

from __future__ import annotations

import importlib
from typing import Any

import click
import msgspec

from gpudoctor.errors import GpuDoctorError

# The schema's name and the "module:type" of its body's fields.
SCHEMAS: dict[str, str] = {
    "version": "gpudoctor.model.about:About",
    "snapshot": "gpudoctor.model.snapshot:Snapshot",
    "check": "gpudoctor.model.check:CheckReport",
    "ps": "gpudoctor.model.listing:Listing",
    "orphans": "gpudoctor.model.orphan:Orphan",
    "kill": "gpudoctor.model.ending:KillReport",
    "empty-cache": "gpudoctor.model.injection:CacheReport",
    "park": "gpudoctor.model.parking:ParkReport",
    "reset": "gpudoctor.model.reset:ResetReport",
    "profile": "gpudoctor.model.profile:Profile",
    "profile.ranks": "gpudoctor.model.ranks:RanksProfile",
    "profile.diff": "gpudoctor.model.profile_diff:ProfileDiff",
    "env": "gpudoctor.model.environment:EnvironmentReport",
    "visible": "gpudoctor.model.visible:Visibility",
    "pick": "gpudoctor.model.pick:Pick",
    "bench": "gpudoctor.model.bench:BenchReport",
    "fleet": "gpudoctor.model.fleet:Fleet",
    "history": "gpudoctor.history.values:History",
    "recording": "gpudoctor.model.recording:Recording",
}


def schema_of(name: str) -> dict[str, Any]:
    """The JSON schema (2020-12) of the values that `name` writes.

    Raises:
        GpuDoctorError: there is no schema of that name.
    """
    target = SCHEMAS.get(name)
    if target is None:
        raise GpuDoctorError(
            f"there is no schema named {name}", hint=f"There are: {', '.join(SCHEMAS)}."
        )
    module, _, attribute = target.partition(":")
    return msgspec.json.schema(getattr(importlib.import_module(module), attribute))


@click.command()
@click.argument("name", required=False)
def schema(name: str | None) -> None:
    """Print the JSON schema NAME; without a name, the names."""
    if name is None:
        click.echo("\n".join(SCHEMAS))
        return
    click.echo(msgspec.json.format(msgspec.json.encode(schema_of(name)), indent=2))
