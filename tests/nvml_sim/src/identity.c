/* Who a device is. These answers are cached by the driver, so most of them outlive the GPU. */
#include <string.h>

#include "pci.h"

DEVICE_TEXT(nvmlDeviceGetName, "name")
DEVICE_TEXT(nvmlDeviceGetUUID, "uuid")
DEVICE_TEXT(nvmlDeviceGetSerial, "serial")
DEVICE_TEXT(nvmlDeviceGetVbiosVersion, "vbios")
DEVICE_TEXT(nvmlDeviceGetBoardPartNumber, "board_part_number")
DEVICE_TEXT(nvmlDeviceGetInforomImageVersion, "inforom.image")
DEVICE_TEXT(nvmlDeviceGetGspFirmwareVersion, "gsp.version")
DEVICE_PAIR_U32(nvmlDeviceGetGspFirmwareMode, "gsp.enabled", "gsp.default")
DEVICE_U32(nvmlDeviceGetMinorNumber, "minor")
DEVICE_U32(nvmlDeviceGetBrand, "brand")
DEVICE_U32(nvmlDeviceGetArchitecture, "architecture")
DEVICE_U32(nvmlDeviceGetNumGpuCores, "cores")
DEVICE_U32(nvmlDeviceGetBoardId, "board_id")
DEVICE_U32(nvmlDeviceGetModuleId, "module_id")
DEVICE_U32(nvmlDeviceGetMultiGpuBoard, "multi_gpu_board")
DEVICE_U32(nvmlDeviceGetNumaNodeId, "numa_node")
DEVICE_U32(nvmlDeviceGetMemoryBusWidth, "memory.bus_width")
DEVICE_U32(nvmlDeviceGetPersistenceMode, "persistence_mode")
DEVICE_U32(nvmlDeviceGetComputeMode, "compute_mode")
DEVICE_U32(nvmlDeviceGetDisplayMode, "display.mode")
DEVICE_U32(nvmlDeviceGetDisplayActive, "display.active")
DEVICE_U32(nvmlDeviceGetIrqNum, "irq")
DEVICE_U32(nvmlDeviceGetBusType, "bus_type")
DEVICE_U32(nvmlDeviceGetVirtualizationMode, "virtualization_mode")
DEVICE_PAIR_U32(nvmlDeviceGetDriverModel_v2, "driver_model.current", "driver_model.pending")
DEVICE_PAIR_U32(nvmlDeviceGetDriverModel, "driver_model.current", "driver_model.pending")
DEVICE_PAIR_U32(nvmlDeviceGetGpuOperationMode, "gom.current", "gom.pending")

/* A MIG device answers its own index within its GPU. */
API int nvmlDeviceGetIndex(device_t device, uint32_t *out) {
    OPEN_CACHED(device);
    REQUIRE(out);
    *out = (uint32_t)(device->mig == NO_MIG ? device->gpu : device->mig);
    return SUCCESS;
}

API int nvmlDeviceGetCudaComputeCapability(device_t device, int32_t *major, int32_t *minor) {
    OPEN_CACHED(device);
    int error = read_i32(&call, "compute_capability.major", major);
    return error != SUCCESS ? error : read_i32(&call, "compute_capability.minor", minor);
}

static int read_pci(struct call *call, const struct handle *device, struct pci_info *out) {
    REQUIRE(out);
    call->prefix = handle_gpu(device->gpu)->prefix; /* a MIG device sits at its GPU's address */
    const struct value *value = state_find(call->state, call->prefix, "pci.bus_id");
    if (!value || !pci_parse(value->text, out))
        return NOT_SUPPORTED;
    out->device_id = (uint32_t)read_or(call, "pci.device_id", 0);
    out->subsystem_id = (uint32_t)read_or(call, "pci.subsystem_id", 0);
    return SUCCESS;
}

API int nvmlDeviceGetPciInfo(device_t device, struct pci_info *out) {
    OPEN_CACHED(device);
    return read_pci(&call, device, out);
}

API int nvmlDeviceGetPciInfo_v2(device_t device, struct pci_info *out) {
    OPEN_CACHED(device);
    return read_pci(&call, device, out);
}

API int nvmlDeviceGetPciInfo_v3(device_t device, struct pci_info *out) {
    OPEN_CACHED(device);
    return read_pci(&call, device, out);
}

struct pci_info_ext {
    uint32_t version, domain, bus, device, device_id, subsystem_id, base_class, sub_class;
    char bus_id[32];
};

API int nvmlDeviceGetPciInfoExt(device_t device, struct pci_info_ext *out) {
    OPEN_CACHED(device);
    REQUIRE(out);
    if (out->version != STRUCT_VERSION(struct pci_info_ext, 1))
        return VERSION_MISMATCH;
    struct pci_info info;
    int error = read_pci(&call, device, &info);
    if (error != SUCCESS)
        return error;
    out->domain = info.domain, out->bus = info.bus, out->device = info.device;
    out->device_id = info.device_id, out->subsystem_id = info.subsystem_id;
    out->base_class = 3, out->sub_class = (uint32_t)read_or(&call, "pci.sub_class", 2);
    memcpy(out->bus_id, info.bus_id, sizeof out->bus_id);
    return SUCCESS;
}
