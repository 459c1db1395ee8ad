from __future__ import annotations

from tests.nvml_sim.opened import opened

__all__ = ["opened"]
