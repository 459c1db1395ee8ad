"""What the runner notes of torch's allocator, without a GPU."""

from __future__ import annotations

import sys
from types import SimpleNamespace

from gpudoctor.runner.allocated import Allocated


def a_torch(monkeypatch, allocated, initialized=True):
    cuda = SimpleNamespace(
        is_initialized=lambda: initialized,
        device_count=lambda: len(allocated),
        memory_allocated=lambda index: allocated[index],
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))


def test_the_allocator_is_asked_after_every_doubling_of_the_steps(monkeypatch):
    sizes = [0, 100]
    a_torch(monkeypatch, sizes)
    allocated = Allocated()
    for step in range(1, 10):
        sizes[1] += 1
        allocated.after_step(step)
    assert allocated.as_list() == [{"index": 1, "sizes": [[1, 101], [2, 102], [4, 104], [8, 108]]}]


def test_where_cuda_was_not_begun_nothing_is_asked(monkeypatch):
    a_torch(monkeypatch, [100], initialized=False)
    allocated = Allocated()
    allocated.after_step(1)
    assert allocated.as_list() == []


def test_an_allocator_that_fails_does_not_fail_the_script(monkeypatch):
    a_torch(monkeypatch, {0: 1, 2: 1})
    allocated = Allocated()
    allocated.after_step(1)
    assert allocated.as_list() == [{"index": 0, "sizes": [[1, 1]]}]
