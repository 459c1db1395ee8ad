"""Gathers an environment report: all witnesses are asked at the same time, each with a limit."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gpudoctor.host import probe, tools
from gpudoctor.host.background import Background
from gpudoctor.host.driver import driver_report
from gpudoctor.host.interpreter import Target
from gpudoctor.host.libraries import library_path
from gpudoctor.host.system import system_report
from gpudoctor.host.variables import relevant
from gpudoctor.model.environment import EnvironmentReport, Tool
from gpudoctor.nvml.api import Nvml, NvmlUnavailableError

_COMPILERS = ("gcc", "clang", "cmake")


def gather(
    target: Target,
    opened: Nvml | NvmlUnavailableError,
    *,
    timeout_s: float = probe.DEFAULT_TIMEOUT_S,
    root: Path = Path("/"),
) -> EnvironmentReport:
    """The report on `target` and this machine. Takes as long as its slowest witness.

    `opened` is the driver, or why there is none; `timeout_s` limits the probe of the interpreter.
    """
    environ = target.environ
    driver = Background(partial(driver_report, opened, root))
    system = Background(partial(system_report, environ, root))
    toolkit = Background(partial(tools.toolkit, environ))
    compilers = [Background(partial(tools.tool, name, environ)) for name in _COMPILERS]
    conda = Background(partial(tools.conda_packages, environ))
    # In the calling thread, because only there an interrupt reaches it and ends the child.
    probed = probe.run(target, timeout_s)
    return EnvironmentReport(
        probe=probed,
        driver=driver.result(),
        system=system.result(),
        toolkit=toolkit.result(),
        # Not run: nvidia-smi can hang, and all that it knows is asked of NVML.
        nvidia_smi=Tool("nvidia-smi", tools.located("nvidia-smi", environ)),
        tools=tuple(task.result() for task in compilers),
        variables=relevant(environ),
        library_path=library_path(environ, root),
        conda_packages=conda.result(),
    )
