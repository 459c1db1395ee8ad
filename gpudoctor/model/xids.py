"""What NVIDIA's Xid catalogue says of each code.

Source: https://docs.nvidia.com/deploy/xid-errors/analyzing-xid-catalog.html (the entries in use).
"""

from __future__ import annotations

from typing import NamedTuple


class Xid(NamedTuple):
    """`action` is what the catalogue wants done at once, in its own words; empty where it says nothing."""

    code: int
    meaning: str
    action: str


_TABLE: tuple[tuple[int, str, str], ...] = (
    (8, "GPU stopped processing", "RESTART_APP"),
    (11, "Invalid or corrupted push buffer stream", "RESTART_APP"),
    (13, "Graphics Engine Exception", "RESTART_APP"),
    (25, "Invalid or illegal push buffer stream", "RESTART_APP"),
    (31, "GPU memory page fault", "RESTART_APP"),
    (32, "Invalid or corrupted push buffer stream", "RESTART_APP"),
    (37, "Driver firmware error", "IGNORE"),
    (38, "Driver firmware error", "IGNORE"),
    (39, "Copy Engine Exception", "RESTART_APP"),
    (40, "Copy Engine Exception", "RESTART_APP"),
    (41, "Copy Engine Exception", "RESTART_APP"),
    (43, "GPU stopped processing", "IGNORE"),
    (44, "Graphics Engine fault during context switch", "IGNORE"),
    (45, "Preemptive cleanup, due to previous errors", "WORKFLOW_XID_45"),
    (46, "GPU stopped processing", "RESET_GPU"),
    (48, "Double Bit ECC Error", "WORKFLOW_XID_48"),
    (54, "Auxiliary power is not connected to the GPU board", "CHECK_MECHANICALS"),
    (60, "Video processor exception", "RESTART_APP"),
    (62, "Internal micro-controller halt (newer drivers)", "RESET_GPU"),
    (63, "GPU memory remapping event", "IGNORE"),
    (64, "GPU memory remapping failure", "RESET_GPU"),
    (66, "Illegal access by driver", "IGNORE"),
    (67, "Illegal access by driver", "IGNORE"),
    (68, "NVDEC0 Exception", "RESTART_APP"),
    (69, "Graphics Engine class error", "RESTART_APP"),
    (70, "CE3: Unknown Error", "RESTART_APP"),
    (71, "CE4: Unknown Error", "RESTART_APP"),
    (72, "CE5: Unknown Error", "RESTART_APP"),
    (74, "NVLINK Error", "WORKFLOW_NVLINK_ERR"),
    (75, "CE6: Unknown Error", "RESTART_APP"),
    (76, "CE7: Unknown Error", "RESTART_APP"),
    (77, "CE8: Unknown Error", "RESTART_APP"),
    (78, "vGPU Start Error", "UPDATE_SWFW"),
    (79, "GPU has fallen off the bus", "RESTART_BM"),
    (80, "Corrupted data sent to GPU", "RESTART_APP"),
    (82, "NVJPG0 Error", "RESTART_APP"),
    (83, "NVDEC1 Error", "RESTART_APP"),
    (84, "NVDEC2 Error", "RESTART_APP"),
    (85, "CE9: Unknown Error", "RESTART_APP"),
    (86, "OFA Exception", "RESTART_APP"),
    (88, "NVDEC3 Error", "RESTART_APP"),
    (89, "NVDEC4 Error", "RESTART_APP"),
    (92, "High single-bit ECC error rate", "IGNORE"),
    (93, "Non-fatal violation of provisioned InfoROM wear limit", "IGNORE"),
    (94, "Contained memory error", "RESTART_APP"),
    (95, "Uncontained memory error", "RESET_GPU"),
    (96, "NVDEC5 Error", "RESTART_APP"),
    (97, "NVDEC6 Error", "RESTART_APP"),
    (98, "NVDEC7 Error", "RESTART_APP"),
    (99, "NVJPG1 Error", "RESTART_APP"),
    (100, "NVJPG2 Error", "RESTART_APP"),
    (101, "NVJPG3 Error", "RESTART_APP"),
    (102, "NVJPG4 Error", "RESTART_APP"),
    (103, "NVJPG5 Error", "RESTART_APP"),
    (104, "NVJPG6 Error", "RESTART_APP"),
    (105, "NVJPG7 Error", "RESTART_APP"),
    (106, "SMBPBI Test Message", "IGNORE"),
    (107, "SMBPBI Test Message Silent", "IGNORE"),
    (109, "Context Switch Timeout Error", "RESET_GPU"),
    (110, "Security Fault Error", "RESET_GPU"),
    (119, "GSP RPC Timeout", "RESET_GPU"),
    (120, "GSP Error", "RESET_GPU"),
    (121, "C2C Error", "IGNORE"),
    (126, "CE10: Unknown Error", "RESTART_APP"),
    (127, "CE11: Unknown Error", "RESTART_APP"),
    (128, "CE12: Unknown Error", "RESTART_APP"),
    (129, "CE13: Unknown Error", "RESTART_APP"),
    (130, "CE14: Unknown Error", "RESTART_APP"),
    (131, "CE15: Unknown Error", "RESTART_APP"),
    (132, "CE16: Unknown Error", "RESTART_APP"),
    (133, "CE17: Unknown Error", "RESTART_APP"),
    (134, "CE18: Unknown Error", "RESTART_APP"),
    (135, "CE19: Unknown Error", "RESTART_APP"),
    (136, "Link Training Failed", "RESET_GPU"),
    (137, "NVLink Privilege Error", "IGNORE"),
    (139, "OFA1 Error", "RESTART_APP"),
    (140, "ECC Unrecovered Error", "RESET_GPU"),
    (141, "CUDA Fast Path Error", "IGNORE"),
    (142, "NVENC3 Error", "CONTACT_SUPPORT"),
    (143, "GPU Initialization Error", "RESET_GPU"),
    (144, "NVLINK: SAW Error", "WORKFLOW_NVLINK5_ERR"),
    (145, "NVLINK: RLW Error", "WORKFLOW_NVLINK5_ERR"),
    (146, "NVLINK: TLW Error", "WORKFLOW_NVLINK5_ERR"),
    (147, "NVLINK: TREX Error", "WORKFLOW_NVLINK5_ERR"),
    (148, "NVLINK: NVLPW_CTRL Error", "WORKFLOW_NVLINK5_ERR"),
    (149, "NVLINK: NETIR Error", "WORKFLOW_NVLINK5_ERR"),
    (150, "NVLINK: MSE Error", "WORKFLOW_NVLINK5_ERR"),
    (151, "Key rotation Error", "RESTART_VM"),
    (152, "DLA SMMU Error", "IGNORE"),
    (153, "DLA timeout Error", "IGNORE"),
    (154, "GPU Recovery Action Changed", "XID_154"),
    (155, "NVLINK: SW Defined Error", "RESET_GPU"),
    (156, "Resource Retirement Event", "RESET_GPU"),
    (157, "Resource Retirement Failure", "IGNORE"),
    (158, "GPU Fatal Timeout", "RESET_GPU"),
    (159, "CHI Non-Data Error", "CHECK_UVM"),
    (160, "Channel Retirement Event", "IGNORE"),
    (161, "Channel Retirement Failure", "IGNORE"),
    (162, "Power Smoothing HW Circuitry capability reengaged", ""),
    (163, "Power Smoothing HW Circuitry capability disengaged", ""),
    (164, "Power Smoothing HW Circuitry low lifetime reached", ""),
    (165, "Power Smoothing HW Circuitry lifetime exhausted", ""),
    (166, "CC traffic seen prior to link properly being configured for", ""),
    (167, "PCIE_FATAL_TIMEOUT", ""),
    (168, "Errors found in WPR (write protected region)", ""),
    (169, "Internal micro-controller halt", ""),
    (170, "Interrupt seen in CC mode", ""),
    (171, "Additional to Xid 48 providing more details on particulars of", ""),
    (172, "Additional to Xid 48 providing more details on particulars of", ""),
)
XIDS: dict[int, Xid] = {code: Xid(code, *rest) for code, *rest in _TABLE}

# The codes of the catalogue's column "immediate action", as sentences.
ACTIONS: dict[str, str] = {
    "RESTART_APP": "restart the application",
    "RESET_GPU": "reset the GPU",
    "RESTART_BM": "restart the machine",
    "RESTART_VM": "restart the virtual machine",
    "IGNORE": "nothing has to be done",
    "CONTACT_SUPPORT": "contact the vendor",
    "UPDATE_SWFW": "update software and firmware",
    "CHECK_MECHANICALS": "check the mechanics",
    "CHECK_UVM": "check unified memory (UVM)",
}


def advice(code: int) -> str | None:
    """What the catalogue wants done at once, or None where it names a longer procedure or nothing."""
    known = XIDS.get(code)
    return ACTIONS.get(known.action) if known else None


def in_words(code: int, told: str) -> str:
    """What an Xid means, with what the driver or the log told of it; empty where nobody knows.

    NVML tells only the number, which its name has already.
    """
    known = XIDS.get(code)
    more = "" if told == f"Xid {code}" else told
    if known is None or known.meaning.lower() in more.lower():
        return more
    return f"{known.meaning} ({more})" if more else known.meaning
