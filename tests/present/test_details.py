from __future__ import annotations

from dataclasses import replace

from gpudoctor.history.values import ProcessSpan
from gpudoctor.host.variables import HIDDEN
from gpudoctor.host.visible_devices import resolve
from gpudoctor.model.detail import ProcessDetail
from gpudoctor.model.environment import GpuRow
from gpudoctor.model.lineage import Notebook
from gpudoctor.model.listing import Above, Launcher, Origin
from gpudoctor.present.details import detail_facts, span_facts
from tests.builders import AT, GIB, device, process, uuid_of

GPUS = tuple(GpuRow(device(index).facts) for index in range(4))
ORIGIN = Origin((Launcher("slurm", "4711", "step 0"),), 7)


def values(detail):
    return {fact.name: fact.value for fact in detail_facts(detail) if fact.value}


def test_launchers_folders_and_parents_are_told():
    made = ProcessDetail(
        ORIGIN,
        (Above(60, "torchrun", ("torchrun", "train.py")), Above(50, "bash")),
        "/usr/bin/python3.11",
        "/home/ana/run",
    )
    told = values(made)
    assert told["program"] == "/usr/bin/python3.11" and told["working folder"] == "/home/ana/run"
    assert told["slurm"] == "4711 (step 0)"
    assert told["pid in its container"] == "7"
    assert told["below"] == "60 torchrun train.py" and told[""] == "50 [bash]"


def test_the_map_says_which_gpu_each_ordinal_is():
    environ = {"CUDA_VISIBLE_DEVICES": "3,1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    told = values(ProcessDetail(ORIGIN, cuda=resolve(environ, GPUS)))
    assert told["cuda:0"] == "GPU 3" and told["cuda:1"] == "GPU 1"


def test_a_process_that_sees_no_gpu_is_told_so():
    told = values(ProcessDetail(ORIGIN, cuda=resolve({"CUDA_VISIBLE_DEVICES": ""}, GPUS)))
    assert told["devices"] == "none is visible to CUDA"


def test_variables_that_may_not_be_read_are_not_taken_for_none():
    assert "may not be read" in values(ProcessDetail(ORIGIN))["environment"]
    assert "sets nothing" in values(ProcessDetail(ORIGIN, variables={}))["environment"]
    shown = values(ProcessDetail(ORIGIN, variables={"NCCL_DEBUG": "INFO", "VLLM_API_KEY": HIDDEN}))
    assert shown["NCCL_DEBUG"] == "INFO" and shown["VLLM_API_KEY"] == HIDDEN


def test_a_notebook_says_who_looks_at_it():
    found = Notebook("work/a.ipynb", "idle", 0, AT)
    told = values(ProcessDetail(ORIGIN, notebook=found))
    assert told["notebook"] == "work/a.ipynb"
    assert told["kernel"] == "idle, connections: no browser"


SPAN = ProcessSpan(
    100, AT - 60, "ana", "python", ("python",), uuid_of(0), AT - 50, AT, 30 * GIB, 10 * GIB, 0.9
)  # fmt: skip


def test_what_was_recorded_of_this_very_process_is_told_and_of_an_earlier_one_with_its_pid_not():
    row = process(100)
    earlier = replace(SPAN, started=AT - 9000)
    facts = list(span_facts(row, (SPAN, earlier)))
    assert [fact.heading for fact in facts] == [True, False]
    assert facts[1].name == "GPU 0"
    assert "at most 30.0 GiB, SM 90% on average" in facts[1].value
    assert list(span_facts(row, (earlier,))) == []


def test_a_parent_whose_command_is_a_whole_script_takes_one_clipped_line():
    made = ProcessDetail(ORIGIN, (Above(60, "bash", ("bash", "-c", "echo hello\n" * 900)),))
    told = values(made)["below"]
    assert told.startswith("60 bash -c echo hello")
    assert told.endswith("…") and len(told) <= len("60 ") + 120
