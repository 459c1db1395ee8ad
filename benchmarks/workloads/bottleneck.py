"""What `torch.utils.bottleneck` did on a CPU until torch 2.9: the script once under cProfile and once under
the autograd profiler, with a table of each."""

import cProfile
import pstats
import runpy
import sys

from torch.autograd import profiler

script, *sys.argv[1:] = sys.argv[1:]
sys.argv[0] = script

calls = cProfile.Profile()
calls.runcall(runpy.run_path, script, run_name="__main__")
pstats.Stats(calls).sort_stats("tottime").print_stats(15)

with profiler.profile(use_kineto=True) as operators:
    runpy.run_path(script, run_name="__main__")
events = sorted(
    operators.function_events, key=lambda event: event.self_cpu_time_total, reverse=True
)
print(len(events), [event.key for event in events[:15]])
