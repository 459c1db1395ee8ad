"""`gpudoctor completion SHELL`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
_WHERE = {
    "bash": "gpudoctor completion bash > ~/.local/share/bash-completion/completions/gpudoctor",
    "zsh": "gpudoctor completion zsh > ~/.zfunc/_gpudoctor  (with ~/.zfunc in fpath)",
    "fish": "gpudoctor completion fish > ~/.config/fish/completions/gpudoctor.fish",
}


@click.command(
    epilog="\b\nTo install it:\n" + "\n".join(f"  {where}" for where in _WHERE.values()),
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in SHELL."""
    root = ctx.find_root()
    maker = get_completion_class(shell)
    assert maker is not None
    click.echo(maker(root.command, {}, "gpudoctor", "_GPUDOCTOR_COMPLETE").source())
