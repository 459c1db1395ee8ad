/* Frame buffer and BAR1. The older structure counts the driver's own share as used. */
#include "sim.h"

struct memory {
    uint64_t total, free, used;
};

struct memory_v2 {
    uint32_t version;
    uint64_t total, reserved, free, used;
};
_Static_assert(sizeof(struct memory_v2) == 40, "nvmlMemory_v2_t");

static int read_memory(const struct call *call, struct memory_v2 *out) {
    int error = read_u64(call, "memory.total", &out->total);
    if (error == SUCCESS)
        error = read_u64(call, "memory.used", &out->used);
    if (error != SUCCESS)
        return error;
    out->reserved = read_or(call, "memory.reserved", 0);
    uint64_t taken = out->used + out->reserved;
    out->free = read_or(call, "memory.free", out->total > taken ? out->total - taken : 0);
    return SUCCESS;
}

API int nvmlDeviceGetMemoryInfo(device_t device, struct memory *out) {
    OPEN_DEVICE(device);
    REQUIRE(out);
    struct memory_v2 all;
    int error = read_memory(&call, &all);
    if (error == SUCCESS)
        *out = (struct memory){all.total, all.free, all.used + all.reserved};
    return error;
}

API int nvmlDeviceGetMemoryInfo_v2(device_t device, struct memory_v2 *out) {
    OPEN_DEVICE(device);
    REQUIRE(out);
    if (out->version != STRUCT_VERSION(struct memory_v2, 2))
        return VERSION_MISMATCH;
    return read_memory(&call, out);
}

API int nvmlDeviceGetBAR1MemoryInfo(device_t device, struct memory *out) {
    OPEN_DEVICE(device);
    REQUIRE(out);
    int error = read_u64(&call, "bar1.total", &out->total);
    if (error == SUCCESS)
        error = read_u64(&call, "bar1.used", &out->used);
    if (error == SUCCESS)
        out->free = out->total - out->used;
    return error;
}
