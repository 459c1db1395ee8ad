"""`gpudoctor dashboards --out DIR`."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from gpudoctor.errors import GpuDoctorError, why


def assets() -> Path:
    """The folder of the dashboards and rules: in the package, or beside it in a checkout.

    Raises:
        GpuDoctorError: the installation lacks it.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "_grafana", package.parent / "grafana"):
        if (folder / "dashboards").is_dir():
            return folder
    raise GpuDoctorError(
        "the dashboards are not in this installation",
        hint="Install gpudoctor anew.",
    )


@click.command()
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Where to put them; made if it does not exist.",
)
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def dashboards(out: str, force: bool) -> None:
    """Write Grafana dashboards, alert rules and a docker-compose.yml to a folder."""
    if not out:  # an empty variable in a script; the current folder is not meant by it
        raise GpuDoctorError("--out names no folder", hint="For the current one: --out .")
    written = _write(Path(out), force)
    click.echo(
        f"{written} files in {out}; {Path(out) / 'README.md'} says how to use them.", err=True
    )


def _write(out: Path, force: bool) -> int:
    source = assets()
    files = sorted(path for path in source.rglob("*") if path.is_file())
    try:
        there = [target for path in files if (target := out / path.relative_to(source)).exists()]
        if there and not force:
            raise GpuDoctorError(
                f"{there[0]} exists already",
                hint="Name another folder, or give --force to overwrite.",
            )
        for path in files:
            target = out / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    except OSError as error:
        raise GpuDoctorError(f"{out} cannot be written to", cause=why(error)) from error
    return len(files)
