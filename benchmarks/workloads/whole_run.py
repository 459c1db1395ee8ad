"""The script under torch's profiler from its first to its last line, with the table that one asks it for."""

import runpy
import sys

from torch.profiler import ProfilerActivity, profile

script, *sys.argv[1:] = sys.argv[1:]
sys.argv[0] = script
with profile(activities=[ProfilerActivity.CPU]) as seen:
    runpy.run_path(script, run_name="__main__")
print(seen.key_averages().table(sort_by="self_cpu_time_total", row_limit=15))
