from tests.libcuda_sim.fixtures import fake_libcuda
from tests.nvml_sim.fixtures import nvml_sim

__all__ = ["fake_libcuda", "nvml_sim"]
