/* Accounting: what finished and running processes used over their lives. */
#include <string.h>

#include "sim.h"

DEVICE_U32(nvmlDeviceGetAccountingMode, "accounting.mode")

API int nvmlDeviceGetAccountingBufferSize(device_t device, uint32_t *out) {
    OPEN_DEVICE(device);
    REQUIRE(out);
    *out = (uint32_t)read_or(&call, "accounting.buffer", 4000);
    return SUCCESS;
}

API int nvmlDeviceGetAccountingPids(device_t device, uint32_t *count, uint32_t *pids) {
    OPEN_DEVICE(device);
    REQUIRE(count);
    if (!read_or(&call, "accounting.mode", 0))
        return NOT_SUPPORTED;
    uint32_t room = *count, found = 0;
    for (size_t i = 0; i < call.state->account_count; i++) {
        const struct account *account = &call.state->accounts[i];
        if (account->gpu != device->gpu)
            continue;
        if (pids && found < room)
            pids[found] = account->pid;
        found++;
    }
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : SUCCESS;
}

struct stats {
    uint32_t gpu_util, mem_util;
    uint64_t max_memory, time, start;
    uint32_t running, reserved[5];
};
_Static_assert(sizeof(struct stats) == 56, "nvmlAccountingStats_t");

API int nvmlDeviceGetAccountingStats(device_t device, uint32_t pid, struct stats *out) {
    OPEN_DEVICE(device);
    REQUIRE(out);
    if (!read_or(&call, "accounting.mode", 0))
        return NOT_SUPPORTED;
    for (size_t i = 0; i < call.state->account_count; i++) {
        const struct account *account = &call.state->accounts[i];
        if (account->gpu != device->gpu || account->pid != pid)
            continue;
        *out = (struct stats){
            .gpu_util = account->gpu_util,
            .mem_util = account->mem_util,
            .max_memory = account->max_memory,
            .time = account->time,
            .start = account->start,
            .running = account->running,
        };
        return SUCCESS;
    }
    return NOT_FOUND;
}
