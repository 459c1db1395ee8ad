/* Multi-instance GPU: the instances that exist, and the way from them to their GPU and back. */
#include "sim.h"

DEVICE_PAIR_U32(nvmlDeviceGetMigMode, "mig.current", "mig.pending")

API int nvmlDeviceGetMaxMigDeviceCount(device_t device, uint32_t *out) {
    OPEN_DEVICE(device);
    REQUIRE(out);
    *out = (uint32_t)read_or(&call, "mig.max", 0);
    return SUCCESS;
}

API int nvmlDeviceIsMigDeviceHandle(device_t device, uint32_t *out) {
    OPEN_CACHED(device);
    REQUIRE(out);
    *out = device->mig != NO_MIG;
    return SUCCESS;
}

API int nvmlDeviceGetMigDeviceHandleByIndex(device_t device, uint32_t index, device_t *out) {
    OPEN_DEVICE(device);
    REQUIRE(out && device->mig == NO_MIG && index < read_or(&call, "mig.max", 0));
    REQUIRE(index < MAX_MIG);
    device_t handle = handle_mig(device->gpu, (int)index);
    if (!read_or(&call, "mig.current", 0) || !state_find(call.state, handle->prefix, "uuid"))
        return NOT_FOUND;
    *out = handle;
    return SUCCESS;
}

API int nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device_t device, device_t *out) {
    OPEN_CACHED(device);
    REQUIRE(out && device->mig != NO_MIG);
    *out = handle_gpu(device->gpu);
    return SUCCESS;
}

API int nvmlDeviceGetGpuInstanceId(device_t device, uint32_t *out) {
    OPEN_CACHED(device);
    REQUIRE(device->mig != NO_MIG);
    return read_u32(&call, "gi", out);
}

API int nvmlDeviceGetComputeInstanceId(device_t device, uint32_t *out) {
    OPEN_CACHED(device);
    REQUIRE(device->mig != NO_MIG);
    return read_u32(&call, "ci", out);
}

struct attributes {
    uint32_t multiprocessors, copy_engines, decoders, encoders, jpegs, ofas, gi_slices, ci_slices;
    uint64_t memory_mib;
};
_Static_assert(sizeof(struct attributes) == 40, "nvmlDeviceAttributes_t");

API int nvmlDeviceGetAttributes_v2(device_t device, struct attributes *out) {
    OPEN_CACHED(device);
    REQUIRE(out);
    int error = read_u32(&call, "multiprocessors", &out->multiprocessors);
    if (error != SUCCESS)
        return error;
    out->copy_engines = (uint32_t)read_or(&call, "copy_engines", 0);
    out->decoders = (uint32_t)read_or(&call, "decoders", 0);
    out->encoders = (uint32_t)read_or(&call, "encoders", 0);
    out->jpegs = (uint32_t)read_or(&call, "jpegs", 0);
    out->ofas = (uint32_t)read_or(&call, "ofas", 0);
    out->gi_slices = (uint32_t)read_or(&call, "gpu_slices", 0);
    out->ci_slices = (uint32_t)read_or(&call, "compute_slices", 0);
    out->memory_mib = read_or(&call, "memory.total", 0) >> 20;
    return SUCCESS;
}
