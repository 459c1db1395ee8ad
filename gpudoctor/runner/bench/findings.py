"""What a what-if run found out beside the times: what was changed where, and what could not be."""

from __future__ import annotations

import sys
from typing import Any, Dict, List, Optional, Tuple

Site = Optional[Tuple[str, int]]


class Findings:
    """`changed` are places in the script whose setting was another; `could_not` are reasons."""

    def __init__(self) -> None:
        self.changed: List[Dict[str, Any]] = []
        self.could_not: List[str] = []
        self.operators: List[Dict[str, Any]] = []
        self.loaders: List[Dict[str, Any]] = []
        self.machine: Dict[str, Any] = {}

    def about_torch(self, torch: Any) -> None:
        """Notes with which Python, torch and CUDA this ran."""
        cuda = torch.version.cuda
        self.machine = {"python": sys.version.split()[0], "torch": torch.__version__, "cuda": cuda}

    def change(self, what: str, site: Site, was: Any) -> None:
        """`what` was `was` at `site`, and is another now."""
        entry = {"what": what, "site": list(site) if site else None, "was": repr(was)}
        if entry not in self.changed:
            self.changed.append(entry)

    def refuse(self, reason: str) -> None:
        """Something was left as it is, for that reason."""
        if reason not in self.could_not:
            self.could_not.append(reason)

    def operator(self, name: str, site: Site) -> None:
        """An operator without a deterministic version was run."""
        entry = {"name": name, "site": list(site) if site else None}
        if entry not in self.operators:
            self.operators.append(entry)

    def as_dict(self) -> Dict[str, Any]:
        """All that was found, as the child tells it to gpudoctor."""
        return dict(vars(self))
