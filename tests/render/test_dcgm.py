from __future__ import annotations

import csv
import io

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from gpudoctor.model.snapshot import DeviceState
from gpudoctor.render.metrics.dcgm import DCGM
from gpudoctor.render.metrics.view import Totals, View, XidTotal
from gpudoctor.render.prometheus import exposition
from tests.builders import AT, device, snapshot, uuid_of
from tests.cli.serving import serving
from tests.rich import rich_device

# The fields that dcgm-exporter gives where nothing else is asked for, of its etc/default-counters.csv.
DEFAULT_FIELDS = """
DCGM_FI_DEV_SM_CLOCK,gauge
DCGM_FI_DEV_MEM_CLOCK,gauge
DCGM_FI_DEV_MEMORY_TEMP,gauge
DCGM_FI_DEV_GPU_TEMP,gauge
DCGM_FI_DEV_POWER_USAGE,gauge
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION,counter
DCGM_FI_DEV_PCIE_REPLAY_COUNTER,counter
DCGM_FI_DEV_GPU_UTIL,gauge
DCGM_FI_DEV_MEM_COPY_UTIL,gauge
DCGM_FI_DEV_ENC_UTIL,gauge
DCGM_FI_DEV_DEC_UTIL,gauge
DCGM_FI_DEV_XID_ERRORS,gauge
DCGM_FI_DEV_FB_FREE,gauge
DCGM_FI_DEV_FB_USED,gauge
DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS,counter
DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS,counter
DCGM_FI_DEV_ROW_REMAP_FAILURE,gauge
"""


def told(view):
    lines = exposition(view, metrics=DCGM).decode().splitlines()
    return {line.partition("{")[0]: line for line in lines if not line.startswith("#")}


def test_the_default_fields_are_there_with_their_types():
    rows = csv.reader(io.StringIO(DEFAULT_FIELDS.strip()))
    assert dict(rows).items() <= {metric.name: metric.kind for metric in DCGM}.items()


def test_labels_and_units_are_those_of_dcgm():
    view = View(snapshot(rich_device()), True, Totals(1, {(uuid_of(0), 79): XidTotal(1, AT)}))
    lines = told(view)
    labels = (
        f'{{gpu="0",UUID="{uuid_of(0)}",pci_bus_id="00000000:01:00.0",device="nvidia0",'
        'modelName="NVIDIA H100 80GB HBM3",Hostname="node",DCGM_FI_DRIVER_VERSION="580.95.05"}'
    )
    assert lines["DCGM_FI_DEV_GPU_UTIL"] == f"DCGM_FI_DEV_GPU_UTIL{labels} 50"
    assert lines["DCGM_FI_DEV_SM_CLOCK"].endswith(" 1500")
    assert lines["DCGM_FI_DEV_FB_USED"].endswith(f" {20 * 1024}")
    assert lines["DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"].endswith(" 1000000")
    assert lines["DCGM_FI_DEV_XID_ERRORS"].endswith(" 79")
    assert len(lines) == len(DCGM)


def test_the_last_xid_is_told_and_none_is_0():
    xids = {(uuid_of(0), 79): XidTotal(3, AT), (uuid_of(0), 13): XidTotal(1, AT + 1)}
    assert told(View(snapshot(), True, Totals(1, xids)))["DCGM_FI_DEV_XID_ERRORS"].endswith(" 13")
    assert told(View(snapshot(), True))["DCGM_FI_DEV_XID_ERRORS"].endswith(" 0")


def test_a_lost_gpu_has_no_readings_here_either():
    assert told(View(snapshot(device(state=DeviceState.LOST)), True)) == {}


def test_openmetrics_takes_counters_that_are_not_named_so():
    body = exposition(View(snapshot(rich_device()), True), openmetrics=True, metrics=DCGM)
    families = list(text_string_to_metric_families(body.decode()))
    assert len(families) == len(DCGM)


def test_the_daemon_gives_them_beside_its_own_names_when_asked():
    with serving("--interval", "0.2", "--metrics-names", "dcgm", "--nvlink-links") as daemon:
        text = daemon.wait_for("DCGM_FI_DEV_GPU_UTIL{")
        assert text.count("DCGM_FI_DEV_GPU_UTIL{") == 8
        assert text.count("gpudoctor_gpu_utilization_ratio{") == 8
        assert text.count("gpudoctor_gpu_nvlink_link_up{") == 8 * 18
        found = len([line for line in text.splitlines() if not line.startswith("#")])
        assert f"\ngpudoctor_series {found}\n" in text


def test_the_older_spelling_of_the_option_means_the_same():
    with serving("--interval", "0.2", "--dcgm-names") as daemon:
        daemon.wait_for("DCGM_FI_DEV_GPU_UTIL{")
