/* Counting devices and finding them by index, UUID, serial or PCI bus id. */
#include <stdio.h>
#include <string.h>

#include "pci.h"

bool pci_parse(const char *text, struct pci_info *info) {
    memset(info, 0, sizeof *info);
    unsigned domain = 0, bus, device;
    if (sscanf(text, "%x:%x:%x", &domain, &bus, &device) != 3) {
        domain = 0;
        if (sscanf(text, "%x:%x", &bus, &device) != 2)
            return false;
    }
    info->domain = domain, info->bus = bus & 0xFF, info->device = device & 0xFF;
    snprintf(info->legacy, sizeof info->legacy, "%04X:%02X:%02X.0", domain & 0xFFFF, info->bus,
             info->device);
    snprintf(info->bus_id, sizeof info->bus_id, "%08X:%02X:%02X.0", domain, info->bus, info->device);
    return true;
}

static int count_devices(const struct call *call, uint32_t *count) {
    REQUIRE(count);
    *count = (uint32_t)call->state->gpu_count;
    return SUCCESS;
}

API int nvmlDeviceGetCount(uint32_t *count) {
    OPEN_SYSTEM(0);
    return count_devices(&call, count);
}

API int nvmlDeviceGetCount_v2(uint32_t *count) {
    OPEN_SYSTEM(0);
    return count_devices(&call, count);
}

static int give(const struct call *call, int gpu, device_t *device) {
    device_t handle = handle_gpu(gpu);
    if (state_find(call->state, handle->prefix, "lost"))
        return GPU_IS_LOST;
    *device = handle;
    return SUCCESS;
}

static int by_index(const struct call *call, uint32_t index, device_t *device) {
    REQUIRE(device && index < (uint32_t)call->state->gpu_count);
    return give(call, (int)index, device);
}

API int nvmlDeviceGetHandleByIndex(uint32_t index, device_t *device) {
    OPEN_GPU((int)index);
    return by_index(&call, index, device);
}

API int nvmlDeviceGetHandleByIndex_v2(uint32_t index, device_t *device) {
    OPEN_GPU((int)index);
    return by_index(&call, index, device);
}

static bool has_text(const struct call *call, const struct handle *handle, const char *key,
                     const char *text) {
    const struct value *value = state_find(call->state, handle->prefix, key);
    return value && strcmp(value->text, text) == 0;
}

API int nvmlDeviceGetHandleByUUID(const char *uuid, device_t *device) {
    OPEN_SYSTEM(0);
    REQUIRE(uuid && device);
    for (int gpu = 0; gpu < call.state->gpu_count; gpu++) {
        if (has_text(&call, handle_gpu(gpu), "uuid", uuid))
            return give(&call, gpu, device);
        for (int mig = 0; mig < MAX_MIG; mig++)
            if (has_text(&call, handle_mig(gpu, mig), "uuid", uuid)) {
                *device = handle_mig(gpu, mig);
                return SUCCESS;
            }
    }
    return NOT_FOUND;
}

API int nvmlDeviceGetHandleBySerial(const char *serial, device_t *device) {
    OPEN_SYSTEM(0);
    REQUIRE(serial && device);
    for (int gpu = 0; gpu < call.state->gpu_count; gpu++)
        if (has_text(&call, handle_gpu(gpu), "serial", serial))
            return give(&call, gpu, device);
    return NOT_FOUND;
}

static int by_bus_id(const struct call *call, const char *bus_id, device_t *device) {
    struct pci_info wanted, found;
    REQUIRE(bus_id && device && pci_parse(bus_id, &wanted));
    for (int gpu = 0; gpu < call->state->gpu_count; gpu++) {
        const struct value *value = state_find(call->state, handle_gpu(gpu)->prefix, "pci.bus_id");
        if (value && pci_parse(value->text, &found) && strcmp(found.bus_id, wanted.bus_id) == 0)
            return give(call, gpu, device);
    }
    return NOT_FOUND;
}

API int nvmlDeviceGetHandleByPciBusId(const char *bus_id, device_t *device) {
    OPEN_SYSTEM(0);
    return by_bus_id(&call, bus_id, device);
}

API int nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, device_t *device) {
    OPEN_SYSTEM(0);
    return by_bus_id(&call, bus_id, device);
}
