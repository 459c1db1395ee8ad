"""What the operating system tells of one process, beyond its row in the table."""

from __future__ import annotations

from dataclasses import dataclass

from gpudoctor.model.lineage import Notebook
from gpudoctor.model.listing import Above, Origin
from gpudoctor.model.visible import Visibility


@dataclass(frozen=True, slots=True)
class ProcessDetail:
    """What could be read; None where it may not be.

    `above` are its ancestors, nearest first. `variables` are those that matter to CUDA and torch,
    values that look like secrets taken out, `cuda` is what CUDA enumerates with them.
    """

    origin: Origin
    above: tuple[Above, ...] = ()
    executable: str | None = None
    working_directory: str | None = None
    notebook: Notebook | None = None
    variables: dict[str, str] | None = None
    cuda: Visibility | None = None
