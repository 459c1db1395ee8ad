"""py-spy's raw recordings, as it writes them."""

from __future__ import annotations

import pytest

from gpudoctor.profile.pyspy import command, is_user, parse, samples, threads

TORCH = "/venv/lib/python3.11/site-packages/torch/utils/data"
MAIN = 'process 10:"python -c a;b";thread (10): MainThread;'
WORKER = 'process 10:"python -c a;b";process 12:"python -c a;b";thread (12): MainThread;'
FORK = f"<module> (/home/me/job.py:20);_worker_loop ({TORCH}/_utils/worker.py:334)"
RAW = f"""\
{MAIN}<module> (/home/me/job.py:20);__next__ ({TORCH}/dataloader.py:741) 30
{MAIN}<module> (/home/me/job.py:22) 10
{WORKER}{FORK};fetch ({TORCH}/_utils/fetch.py:54);D.__getitem__ (/home/me/job.py:7) 36
{WORKER}{FORK};get (/usr/lib/python3.11/queues.py:113) 4
{MAIN.replace("(10)", "(11)").replace("MainThread", "pin")}run (/usr/lib/python3.11/threading.py:9) 40
not a stack at all
"""


def test_a_command_line_with_semicolons_does_not_break_its_stacks():
    seen = parse(RAW)
    assert [stack.pid for stack in seen] == [10, 10, 12, 12, 10]
    assert seen[0].process == "python -c a;b"
    assert seen[0].frames[-1] == ("<module>", "/home/me/job.py", 20)


def test_a_stack_that_was_never_seen_is_none():
    for count in ("0", "9" * 5000):
        assert parse(f"{MAIN}<module> (/home/me/job.py:20) {count}\n") == []


def test_the_main_threads_stacks_together_fill_the_time_watched():
    seen = samples(parse(RAW), 10, 8.0)
    assert seen.samples == 40
    assert sorted(weight for weight, _, _ in seen.stacks) == [2.0, 6.0]
    assert ("<module>", "/home/me/job.py", 20, True) in seen.functions


def test_a_forked_worker_is_where_it_works_and_not_where_it_was_forked():
    worker = next(thread for thread in threads(parse(RAW), 10, 8.0) if thread.main)
    assert (worker.pid, worker.function, worker.site) == (
        12,
        "D.__getitem__",
        ("/home/me/job.py", 7),
    )
    assert worker.share == pytest.approx(0.9)


def test_the_main_thread_is_not_among_the_other_threads():
    assert {(one.pid, one.name) for one in threads(parse(RAW), 10, 8.0)} == {
        (10, "pin"),
        (12, "MainThread"),
    }


@pytest.mark.parametrize(
    ("file", "own"),
    [
        ("/home/me/job.py", True),
        ("/opt/venv/lib/python3.11/site-packages/numpy/core.py", False),
        ("/usr/lib/python3/dist-packages/yaml/x.py", False),
        ("/usr/lib/python3.12/threading.py", False),
        ("<frozen importlib._bootstrap>", False),
        ("", False),
    ],
)
def test_a_file_is_the_users_own_when_neither_python_nor_a_package_brought_it(file, own):
    assert is_user(file) is own


def test_idle_threads_and_worker_processes_are_asked_for():
    asked = command("py-spy", 7, 2.4, "out")
    assert {"--idle", "--subprocesses", "--full-filenames"} <= set(asked)
    assert asked[asked.index("--duration") + 1] == "2"


def test_a_command_of_several_lines_is_one_process():
    raw = (
        'process 7:"python -c \nimport time\ncounts()";thread (7);<module> (<string>:5) 199\n'
        'process 7:"python -c \nimport time\ncounts()";thread (8);work (a.py:1) 2\n'
    )
    first, second = parse(raw)
    assert (first.pid, first.count, first.is_main) == (7, 199, True)
    assert (second.thread, second.frames) == (8, (("work", "a.py", 1),))
