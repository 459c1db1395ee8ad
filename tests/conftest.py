from tests.cuda_sim.fixtures import cuda_sim
from tests.libcuda_sim.fixtures import fake_libcuda
from tests.nvml_sim.fixtures import nvml_sim

__all__ = ["cuda_sim", "fake_libcuda", "nvml_sim"]
