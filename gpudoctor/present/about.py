"""The report on gpudoctor itself as lines of text."""

from __future__ import annotations

from gpudoctor import units
from gpudoctor.model.about import About, DriverLibrary

NONE = "–"


def lines(report: About) -> list[str]:
    """The lines, the first of them what plain `--version` says."""
    rows = [
        ("Package", report.package),
        ("Python", f"{report.python}, {report.executable}"),
        ("System", _joined(report.os, report.kernel, report.machine, report.libc)),
        ("Container", report.container or "none found"),
        *_driver(report.driver),
        ("Daemon", report.settings_error or f"would listen on {report.listen or NONE}"),
        *((p.what, p.path if p.exists else f"{p.path} (not there)") for p in report.places),
        ("Runs with", ""),
        *(
            (f"  {name}", version or "not installed")
            for name, version in report.dependencies.items()
        ),
    ]
    width = max(len(label) for label, _ in rows) + 2
    shown = (f"{label:<{width}}{units.printable(value)}".rstrip() for label, value in rows)
    return [f"gpudoctor {report.version}", *shown]


def _driver(driver: DriverLibrary) -> list[tuple[str, str]]:
    if driver.error:
        said = driver.error + (f": {driver.cause}" if driver.cause else "")
        return [("Driver", said), ("NVML", driver.path or NONE)]
    cuda = ".".join(map(str, driver.cuda_version)) if driver.cuda_version else NONE
    gpus = NONE if driver.gpus is None else str(driver.gpus)
    return [
        ("Driver", f"{driver.driver_version or NONE}, for CUDA up to {cuda}, GPUs: {gpus}"),
        ("NVML", _joined(driver.nvml_version, driver.path)),
    ]


def _joined(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part) or NONE
