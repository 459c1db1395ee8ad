"""What every test may use."""

import os
import signal

from tests.cuda_sim.fixtures import cuda_sim
from tests.libcuda_sim.fixtures import fake_libcuda
from tests.nvml_sim.fixtures import nvml_sim
from tests.reclaim.children import children

__all__ = ["children", "cuda_sim", "fake_libcuda", "nvml_sim"]

# A runner that was started in the background, or by nohup, ignores signals, and what is ignored is
# inherited: the programs that tests interrupt or hang up would not notice.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# No test asks a daemon of this machine, or becomes the one that others ask, unless it means to.
os.environ["GPUDOCTOR_SOCKET"] = "off"

# No test finds the screen as somebody left it, or leaves it so for them, unless it means to.
os.environ["GPUDOCTOR_UI_STATE"] = "off"
