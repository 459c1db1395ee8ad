"""`gpudoctor dashboards --out DIR`."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from gpudoctor.errors import GpuDoctorError


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
        hint="Install gpudoctor anew: pip install --force-reinstall gpudoctor",
    )


@click.command()
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to put them; made if it does not exist.",
)
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def dashboards(out: Path, force: bool) -> None:
    """Write Grafana dashboards, alert rules and a docker-compose.yml to a folder."""
    source = assets()
    files = sorted(path for path in source.rglob("*") if path.is_file())
    there = [path for path in files if (out / path.relative_to(source)).exists()]
    if there and not force:
        raise GpuDoctorError(
            f"{out / there[0].relative_to(source)} exists already",
            hint="Name another folder, or give --force to overwrite.",
        )
    try:
        for path in files:
            target = out / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    except OSError as error:
        raise GpuDoctorError(
            f"{out} cannot be written to", cause=error.strerror or str(error)
        ) from error
    click.echo(f"{len(files)} files in {out}; {out / 'README.md'} says how to use them.", err=True)
