"""The table of `gpudoctor visible`."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gpudoctor.model.visible import Standing, Token, TokenOutcome, Visibility, VisibleDevice
from gpudoctor.render.text import safe
from gpudoctor.units import UNKNOWN, text

_SOURCES = {
    "rules": "by CUDA's rules, not asked of the driver",
    "driver": "by CUDA itself, asked in a child process",
    "torch": "by torch, asked in a child process",
    "nvml": "by NVML's list of processes",
}
_STYLES = {
    TokenOutcome.SELECTED: "green",
    TokenOutcome.DROPPED: "yellow",
    TokenOutcome.ENDS: "red",
    TokenOutcome.EMPTIES: "red",
    TokenOutcome.NOT_READ: "yellow",
}


def print_text(answer: Visibility, console: Console) -> None:
    """Print the devices, what each token did, and the notes."""
    value = "is not set" if answer.value is None else f"= {answer.value!r}"
    console.print(safe(f"CUDA_VISIBLE_DEVICES {value}, order {answer.device_order}", "bold"))
    if answer.visible:
        console.print(_devices(answer.visible))
    else:
        console.print(Text("No GPU is visible to CUDA.", style="red"))
    console.print(_source(answer))
    if answer.expected is not None:
        console.print(Text("\nThe rules would give", style="bold"))
        console.print(_devices(answer.expected) if answer.expected else Text("no GPU"))
    if answer.tokens:
        console.print(Text("\nToken by token", style="bold"))
        console.print(_tokens(answer.tokens))
    if answer.notes:
        console.print(Text("\nNotes", style="bold"))
    for note in answer.notes:
        console.print(Padding(safe(note), (0, 0, 0, 2)))


def _source(answer: Visibility) -> Text:
    who = f"Answered {_SOURCES[answer.source]}"
    if answer.standing is Standing.UNVERIFIED:
        return Text(f"{who}; one of them is unverified, see below.", style="yellow")
    return Text(who + ".", style="dim")


def _devices(rows: tuple[VisibleDevice, ...]) -> Table:
    table = Table.grid(padding=(0, 2))
    heads = ("CUDA", "NVIDIA-SMI", "NAME", "UUID", "PCI")
    table.add_row(*(Text(head, style="dim") for head in heads))
    for row in rows:
        name = text(row.name)
        if row.gpu_instance is not None:
            name += f" (GI {row.gpu_instance} CI {row.compute_instance})"
        table.add_row(
            Text("cuda:?" if row.ordinal is None else f"cuda:{row.ordinal}", style="bold"),
            "GPU " + (UNKNOWN if row.nvml_index is None else str(row.nvml_index)),
            safe(name),
            safe(text(row.uuid)),
            safe(text(row.pci_bus_id)),
        )
    return table


def _tokens(tokens: tuple[Token, ...]) -> Table:
    table = Table.grid(padding=(0, 2))
    for token in tokens:
        led = f"cuda:{token.ordinal}" if token.ordinal is not None else str(token.outcome)
        table.add_row(
            safe(repr(token.text)),
            Text(led, style=_STYLES[token.outcome]),
            safe(token.reason),
            Text("" if token.standing is Standing.DOCUMENTED else str(token.standing), style="dim"),
        )
    return table
