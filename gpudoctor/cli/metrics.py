"""`gpudoctor metrics`."""

from __future__ import annotations

import click


@click.command()
@click.option(
    "--markdown", "as_markdown", is_flag=True, help="Print the page of the documentation."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def metrics(as_markdown: bool, as_json: bool) -> None:
    """Explain the metrics that `gpudoctor serve` gives."""
    from gpudoctor.render.metrics import reference

    if as_json:
        from gpudoctor.model.codec import envelope

        click.echo(envelope("gpudoctor.metrics/1", {"metrics": reference.rows()}))
    elif as_markdown:
        click.echo(reference.markdown(), nl=False)
    else:
        click.echo(reference.text(), nl=False)
