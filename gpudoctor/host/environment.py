"""Gathers an environment report: all witnesses are asked at the same time, each with a limit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gpudoctor.host import probe, tools
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
    with ThreadPoolExecutor(max_workers=8, thread_name_prefix="environment") as pool:
        probed = pool.submit(probe.run, target, timeout_s)
        driver = pool.submit(driver_report, opened, root)
        system = pool.submit(system_report, environ, root)
        toolkit = pool.submit(tools.toolkit, environ)
        compilers = [pool.submit(tools.tool, name, environ) for name in _COMPILERS]
        conda = pool.submit(tools.conda_packages, environ)
        return EnvironmentReport(
            probe=probed.result(),
            driver=driver.result(),
            system=system.result(),
            toolkit=toolkit.result(),
            # Not run: nvidia-smi can hang, and all that it knows is asked of NVML.
            nvidia_smi=Tool("nvidia-smi", tools.located("nvidia-smi", environ)),
            tools=tuple(future.result() for future in compilers),
            variables=relevant(environ),
            library_path=library_path(environ, root),
            conda_packages=conda.result(),
        )
