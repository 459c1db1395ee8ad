"""Compiles the simulated libcuda.so.1. Built once for each version of its sources."""

from __future__ import annotations

from pathlib import Path

from tests.libraries import library

SONAME = "libcuda.so.1"


def build(missing: tuple[str, ...] = ()) -> Path:
    """The folder that holds the library, without the functions in `missing` (an older driver)."""
    return library(SONAME, Path(__file__).parent, missing)
