/* Clocks, why they are not higher, and samples of the recent past. */
#include <stdio.h>

#include "sim.h"

static int read_clock(const struct call *call, const char *which, uint32_t domain, uint32_t *out) {
    static const char *const domains[] = {"graphics", "sm", "memory", "video"};
    char key[48];
    REQUIRE(domain < sizeof domains / sizeof *domains);
    snprintf(key, sizeof key, "clock.%s%s", which, domains[domain]);
    return read_u32(call, key, out);
}

#define CLOCK(function, which)                                                                     \
    API int function(device_t device, uint32_t domain, uint32_t *out) {                            \
        OPEN_DEVICE(device);                                                                       \
        return read_clock(&call, which, domain, out);                                              \
    }

CLOCK(nvmlDeviceGetClockInfo, "")
CLOCK(nvmlDeviceGetMaxClockInfo, "max.")
CLOCK(nvmlDeviceGetApplicationsClock, "application.")
CLOCK(nvmlDeviceGetDefaultApplicationsClock, "default.")
CLOCK(nvmlDeviceGetMaxCustomerBoostClock, "boost.")

API int nvmlDeviceGetClock(device_t device, uint32_t domain, uint32_t which, uint32_t *out) {
    static const char *const kinds[] = {"", "application.", "default.", "boost."};
    OPEN_DEVICE(device);
    REQUIRE(which < sizeof kinds / sizeof *kinds);
    return read_clock(&call, kinds[which], domain, out);
}

DEVICE_U64(nvmlDeviceGetCurrentClocksThrottleReasons, "clock.reasons")
DEVICE_U64(nvmlDeviceGetCurrentClocksEventReasons, "clock.reasons")
DEVICE_U64(nvmlDeviceGetSupportedClocksThrottleReasons, "clock.reasons.supported")
DEVICE_U64(nvmlDeviceGetSupportedClocksEventReasons, "clock.reasons.supported")
DEVICE_PAIR_U32(nvmlDeviceGetAutoBoostedClocksEnabled, "clock.auto_boost", "clock.auto_boost")

struct violation {
    uint64_t reference, time;
};

API int nvmlDeviceGetViolationStatus(device_t device, uint32_t policy, struct violation *out) {
    char key[32];
    OPEN_DEVICE(device);
    REQUIRE(out);
    snprintf(key, sizeof key, "violation.%u", policy);
    out->reference = now_microseconds();
    return read_u64(&call, key, &out->time);
}

struct sample {
    uint64_t time;
    union {
        double real;
        uint32_t narrow;
        uint64_t wide;
    } value;
};
_Static_assert(sizeof(struct sample) == 16, "nvmlSample_t");

#define SAMPLE_PERIOD_US 100000u
#define SAMPLE_BUFFER 120u

static uint32_t samples_since(uint64_t newest, uint64_t since) {
    if (newest <= since)
        return 0;
    uint64_t periods = (newest - since + SAMPLE_PERIOD_US - 1) / SAMPLE_PERIOD_US;
    return periods > SAMPLE_BUFFER ? SAMPLE_BUFFER : (uint32_t)periods;
}

/* A buffer of one value per 0.1 s; without an array it says how many there are. */
API int nvmlDeviceGetSamples(device_t device, uint32_t kind, uint64_t since, uint32_t *value_type,
                             uint32_t *count, struct sample *out) {
    static const char *const keys[] = {
        "power.usage_mw",      "utilization.gpu", "utilization.memory", "utilization.encoder",
        "utilization.decoder", "clock.sm",        "clock.memory",
    };
    OPEN_DEVICE(device);
    REQUIRE(value_type && count && kind < sizeof keys / sizeof *keys);
    const struct value *value = state_find(call.state, call.prefix, keys[kind]);
    if (!value)
        return NOT_SUPPORTED;
    if (value->kind == ERROR)
        return (int)value->whole;
    uint64_t now = now_microseconds(), newest = now - now % SAMPLE_PERIOD_US;
    uint32_t found = samples_since(newest, since);
    *value_type = 1; /* unsigned int */
    if (!out) {
        *count = found;
        return found ? SUCCESS : NOT_FOUND;
    }
    if (found > *count)
        found = *count;
    for (uint32_t i = 0; i < found; i++) {
        uint64_t at = newest - (uint64_t)(found - 1 - i) * SAMPLE_PERIOD_US;
        double elapsed = call.elapsed - (double)(now - at) / 1e6;
        out[i].time = at;
        out[i].value.wide = 0;
        out[i].value.narrow = (uint32_t)value_at(value, elapsed < 0 ? 0 : elapsed).u;
    }
    *count = found;
    return found ? SUCCESS : NOT_FOUND;
}
