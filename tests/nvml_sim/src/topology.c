/* Where devices sit: their processors, and how far they are from one another. */
#include <stdio.h>

#include "sim.h"

enum { LEVEL_INTERNAL = 0, LEVEL_NODE = 40, LEVEL_SYSTEM = 50 };

static int read_set(const struct call *call, const char *name, uint32_t words, uint64_t *out) {
    char key[32];
    REQUIRE(out && words);
    int error = read_u64(call, name, &out[0]);
    for (uint32_t word = 1; error == SUCCESS && word < words; word++) {
        snprintf(key, sizeof key, "%s.%u", name, word);
        out[word] = read_or(call, key, 0);
    }
    return error;
}

API int nvmlDeviceGetCpuAffinity(device_t device, uint32_t words, uint64_t *out) {
    OPEN_DEVICE(device);
    return read_set(&call, "cpu_affinity", words, out);
}

API int nvmlDeviceGetCpuAffinityWithinScope(device_t device, uint32_t words, uint64_t *out,
                                            uint32_t scope) {
    OPEN_DEVICE(device);
    (void)scope;
    return read_set(&call, "cpu_affinity", words, out);
}

API int nvmlDeviceGetMemoryAffinity(device_t device, uint32_t words, uint64_t *out,
                                    uint32_t scope) {
    OPEN_DEVICE(device);
    (void)scope;
    return read_set(&call, "memory_affinity", words, out);
}

/* `topology.J` of the GPU, or what both GPUs' NUMA nodes say. */
static int level_between(const struct call *call, int first, int second) {
    struct call other = *call;
    char key[32];
    if (first == second)
        return LEVEL_INTERNAL;
    other.prefix = handle_gpu(first)->prefix;
    snprintf(key, sizeof key, "topology.%d", second);
    uint64_t node = read_or(&other, "numa_node", 0), level = read_or(&other, key, NOT_AVAILABLE);
    if (level != NOT_AVAILABLE)
        return (int)level;
    other.prefix = handle_gpu(second)->prefix;
    return node == read_or(&other, "numa_node", 0) ? LEVEL_NODE : LEVEL_SYSTEM;
}

static bool is_gpu(const struct call *call, const struct handle *device) {
    return handle_valid(device) && device->gpu < call->state->gpu_count;
}

API int nvmlDeviceGetTopologyCommonAncestor(device_t first, device_t second, uint32_t *out) {
    OPEN_DEVICE(first);
    REQUIRE(out && is_gpu(&call, second));
    *out = (uint32_t)level_between(&call, first->gpu, second->gpu);
    return SUCCESS;
}

API int nvmlDeviceGetTopologyNearestGpus(device_t device, uint32_t level, uint32_t *count,
                                         device_t *out) {
    OPEN_DEVICE(device);
    REQUIRE(count);
    uint32_t room = out ? *count : 0, found = 0;
    for (int gpu = 0; gpu < call.state->gpu_count; gpu++) {
        if (gpu == device->gpu || level_between(&call, device->gpu, gpu) != (int)level)
            continue;
        if (found < room)
            out[found] = handle_gpu(gpu);
        found++;
    }
    *count = out && found > room ? room : found;
    return SUCCESS;
}

API int nvmlDeviceGetP2PStatus(device_t first, device_t second, uint32_t index, uint32_t *out) {
    char key[32];
    OPEN_DEVICE(first);
    REQUIRE(out && index <= 4 && is_gpu(&call, second));
    snprintf(key, sizeof key, "p2p.%d", second->gpu);
    *out = (uint32_t)read_or(&call, key, read_or(&call, "p2p", 5 /* not supported */));
    return SUCCESS;
}

API int nvmlDeviceOnSameBoard(device_t first, device_t second, int *out) {
    OPEN_DEVICE(first);
    REQUIRE(out && is_gpu(&call, second));
    *out = first->gpu == second->gpu;
    return SUCCESS;
}
