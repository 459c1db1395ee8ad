/* ECC, remapped rows, retired pages, the fabric. */
#include <stdio.h>
#include <string.h>

#include "sim.h"

DEVICE_PAIR_U32(nvmlDeviceGetEccMode, "ecc.current", "ecc.pending")
DEVICE_U32(nvmlDeviceGetDefaultEccMode, "ecc.default")

static int ecc_key(char *key, size_t size, uint32_t error, uint32_t counter) {
    REQUIRE(error <= 1 && counter <= 1);
    snprintf(key, size, "ecc.%s.%s", error ? "uncorrected" : "corrected",
             counter ? "aggregate" : "volatile");
    return SUCCESS;
}

API int nvmlDeviceGetTotalEccErrors(device_t device, uint32_t error, uint32_t counter,
                                    uint64_t *out) {
    char key[64];
    OPEN_DEVICE(device);
    int bad = ecc_key(key, sizeof key, error, counter);
    return bad ? bad : read_u64(&call, key, out);
}

API int nvmlDeviceGetMemoryErrorCounter(device_t device, uint32_t error, uint32_t counter,
                                        uint32_t location, uint64_t *out) {
    static const char *const places[] = {"l1",      "l2",  "dram", "register",
                                         "texture", "shm", "cbu",  "sram"};
    char key[64];
    OPEN_DEVICE(device);
    REQUIRE(location < sizeof places / sizeof *places);
    int bad = ecc_key(key, sizeof key, error, counter);
    if (bad)
        return bad;
    size_t end = strlen(key);
    snprintf(key + end, sizeof key - end, ".%s", places[location]);
    return read_u64(&call, key, out);
}

struct sram {
    uint32_t version;
    uint64_t counts[11]; /* in the order of `names` below */
    uint32_t threshold_exceeded;
};
_Static_assert(sizeof(struct sram) == 104, "nvmlEccSramErrorStatus_v1_t");

API int nvmlDeviceGetSramEccErrorStatus(device_t device, struct sram *out) {
    static const char *const names[] = {
        "aggregate_parity",   "aggregate_secded", "aggregate_corrected",
        "volatile_parity",    "volatile_secded",  "volatile_corrected",
        "aggregate_l2",       "aggregate_sm",     "aggregate_pcie",
        "aggregate_mcu",      "aggregate_other",
    };
    char key[48];
    OPEN_DEVICE(device);
    REQUIRE(out);
    if (out->version != STRUCT_VERSION(struct sram, 1))
        return VERSION_MISMATCH;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(key, sizeof key, "ecc.sram.%s", names[i]);
        int error = read_u64(&call, key, &out->counts[i]);
        if (error != SUCCESS)
            return error;
    }
    return read_u32(&call, "ecc.sram.threshold_exceeded", &out->threshold_exceeded);
}

API int nvmlDeviceGetRemappedRows(device_t device, uint32_t *corrected, uint32_t *uncorrected,
                                  uint32_t *pending, uint32_t *failure) {
    OPEN_DEVICE(device);
    int error = read_u32(&call, "rows.corrected", corrected);
    if (error == SUCCESS)
        error = read_u32(&call, "rows.uncorrected", uncorrected);
    if (error == SUCCESS)
        error = read_u32(&call, "rows.pending", pending);
    return error != SUCCESS ? error : read_u32(&call, "rows.failure", failure);
}

API int nvmlDeviceGetRowRemapperHistogram(device_t device, uint32_t out[5]) {
    static const char *const names[] = {"max", "high", "partial", "low", "none"};
    char key[32];
    OPEN_DEVICE(device);
    REQUIRE(out);
    for (size_t i = 0; i < 5; i++) {
        snprintf(key, sizeof key, "rows.histogram.%s", names[i]);
        int error = read_u32(&call, key, &out[i]);
        if (error != SUCCESS)
            return error;
    }
    return SUCCESS;
}

/* The state file gives only how many pages there are; the addresses are made up from 1 MiB on. */
static int read_retired(const struct call *call, uint32_t cause, uint32_t *count,
                        uint64_t *addresses, uint64_t *times) {
    uint32_t found = 0;
    REQUIRE(count && cause <= 1);
    int error = read_u32(call, cause ? "retired.double_bit" : "retired.single_bit", &found);
    if (error != SUCCESS)
        return error;
    uint32_t room = *count;
    *count = found;
    if (found == 0)
        return SUCCESS;
    if (!addresses || room < found)
        return INSUFFICIENT_SIZE;
    for (uint32_t i = 0; i < found; i++) {
        addresses[i] = (uint64_t)(256 + i) * 4096;
        if (times)
            times[i] = 1700000000u + i;
    }
    return SUCCESS;
}

API int nvmlDeviceGetRetiredPages(device_t device, uint32_t cause, uint32_t *count, uint64_t *out) {
    OPEN_DEVICE(device);
    return read_retired(&call, cause, count, out, NULL);
}

API int nvmlDeviceGetRetiredPages_v2(device_t device, uint32_t cause, uint32_t *count,
                                     uint64_t *out, uint64_t *times) {
    OPEN_DEVICE(device);
    return read_retired(&call, cause, count, out, times);
}

DEVICE_U32(nvmlDeviceGetRetiredPagesPendingStatus, "retired.pending")

struct repair {
    uint32_t version, channel_pending, tpc_pending;
};

API int nvmlDeviceGetRepairStatus(device_t device, struct repair *out) {
    OPEN_DEVICE(device);
    int error = read_u32(&call, "repair.channel_pending", &out->channel_pending);
    return error != SUCCESS ? error : read_u32(&call, "repair.tpc_pending", &out->tpc_pending);
}

#define FABRIC_FIELDS                                                                              \
    uint8_t cluster[16];                                                                           \
    int status;                                                                                    \
    uint32_t clique, state
struct fabric {
    FABRIC_FIELDS;
};
struct fabric_v2 {
    uint32_t version;
    FABRIC_FIELDS;
    uint32_t health_mask;
};
struct fabric_v3 {
    uint32_t version;
    FABRIC_FIELDS;
    uint32_t health_mask;
    uint8_t health_summary;
};
_Static_assert(sizeof(struct fabric_v2) == 0x24 && sizeof(struct fabric_v3) == 0x28, "fabric");

static int read_fabric(const struct call *call, struct fabric *out) {
    int error = read_u32(call, "fabric.state", &out->state);
    if (error != SUCCESS)
        return error;
    memset(out->cluster, (int)read_or(call, "fabric.cluster", 0), sizeof out->cluster);
    out->status = (int)read_or(call, "fabric.status", 0);
    out->clique = (uint32_t)read_or(call, "fabric.clique", 0);
    return SUCCESS;
}

API int nvmlDeviceGetGpuFabricInfo(device_t device, struct fabric *out) {
    OPEN_DEVICE(device);
    REQUIRE(out);
    return read_fabric(&call, out);
}

API int nvmlDeviceGetGpuFabricInfoV(device_t device, struct fabric_v2 *out) {
    OPEN_DEVICE(device);
    REQUIRE(out);
    bool third = out->version == STRUCT_VERSION(struct fabric_v3, 3);
    if (!third && out->version != STRUCT_VERSION(struct fabric_v2, 2))
        return VERSION_MISMATCH;
    struct fabric common;
    int error = read_fabric(&call, &common);
    if (error != SUCCESS)
        return error;
    memcpy(out->cluster, &common, sizeof common);
    out->health_mask = (uint32_t)read_or(&call, "fabric.health_mask", 0);
    if (third)
        ((struct fabric_v3 *)out)->health_summary =
            (uint8_t)read_or(&call, "fabric.health_summary", 0);
    return SUCCESS;
}
