from tests.nvml_sim.fixtures import nvml_sim

__all__ = ["nvml_sim"]
