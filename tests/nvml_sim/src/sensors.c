/* Utilisation, power, temperature, fans. */
#include <stdio.h>

#include "sim.h"

struct utilization {
    uint32_t gpu, memory;
};

API int nvmlDeviceGetUtilizationRates(device_t device, struct utilization *out) {
    OPEN_DEVICE(device);
    REQUIRE(out);
    int error = read_u32(&call, "utilization.gpu", &out->gpu);
    return error != SUCCESS ? error : read_u32(&call, "utilization.memory", &out->memory);
}

/* An engine's utilisation comes with the length of its sampling period in microseconds. */
#define ENGINE(function, key)                                                                      \
    API int function(device_t device, uint32_t *out, uint32_t *period) {                           \
        OPEN_DEVICE(device);                                                                       \
        REQUIRE(period);                                                                           \
        *period = 167000;                                                                          \
        return read_u32(&call, key, out);                                                          \
    }

ENGINE(nvmlDeviceGetEncoderUtilization, "utilization.encoder")
ENGINE(nvmlDeviceGetDecoderUtilization, "utilization.decoder")
ENGINE(nvmlDeviceGetJpgUtilization, "utilization.jpeg")
ENGINE(nvmlDeviceGetOfaUtilization, "utilization.ofa")

DEVICE_U32(nvmlDeviceGetPowerUsage, "power.usage_mw")
DEVICE_U32(nvmlDeviceGetEnforcedPowerLimit, "power.enforced_mw")
DEVICE_U32(nvmlDeviceGetPowerManagementLimit, "power.limit_mw")
DEVICE_U32(nvmlDeviceGetPowerManagementDefaultLimit, "power.default_mw")
DEVICE_U32(nvmlDeviceGetPowerManagementMode, "power.management_mode")
DEVICE_PAIR_U32(nvmlDeviceGetPowerManagementLimitConstraints, "power.min_mw", "power.max_mw")
DEVICE_U64(nvmlDeviceGetTotalEnergyConsumption, "energy_mj")
DEVICE_U32(nvmlDeviceGetPowerSource, "power.source")
DEVICE_U32(nvmlDeviceGetPerformanceState, "pstate")
DEVICE_U32(nvmlDeviceGetPowerState, "pstate")

API int nvmlDeviceGetTemperature(device_t device, uint32_t sensor, uint32_t *out) {
    OPEN_DEVICE(device);
    REQUIRE(sensor == 0);
    return read_u32(&call, "temperature.gpu", out);
}

struct temperature {
    uint32_t version, sensor;
    int32_t celsius;
};

API int nvmlDeviceGetTemperatureV(device_t device, struct temperature *out) {
    OPEN_DEVICE(device);
    REQUIRE(out);
    if (out->version != STRUCT_VERSION(struct temperature, 1))
        return VERSION_MISMATCH;
    REQUIRE(out->sensor == 0);
    return read_i32(&call, "temperature.gpu", &out->celsius);
}

struct margin {
    uint32_t version;
    int32_t celsius;
};

API int nvmlDeviceGetMarginTemperature(device_t device, struct margin *out) {
    OPEN_DEVICE(device);
    REQUIRE(out);
    if (out->version != STRUCT_VERSION(struct margin, 1))
        return VERSION_MISMATCH;
    return read_i32(&call, "temperature.margin", &out->celsius);
}

API int nvmlDeviceGetTemperatureThreshold(device_t device, uint32_t kind, uint32_t *out) {
    static const char *const keys[] = {
        "temperature.shutdown", "temperature.slowdown",     "temperature.memory_max",
        "temperature.gpu_max",  "temperature.acoustic_min", "temperature.acoustic",
        "temperature.acoustic_max",
    };
    OPEN_DEVICE(device);
    REQUIRE(kind < sizeof keys / sizeof *keys);
    return read_u32(&call, keys[kind], out);
}

DEVICE_U32(nvmlDeviceGetNumFans, "fan.count")
DEVICE_PAIR_U32(nvmlDeviceGetMinMaxFanSpeed, "fan.min", "fan.max")

static int read_fan(const struct call *call, uint32_t fan, const char *name, uint32_t *out) {
    char key[32];
    REQUIRE(fan < read_or(call, "fan.count", 0));
    snprintf(key, sizeof key, "fan.%u.%s", fan, name);
    int error = read_u32(call, key, out);
    if (error != NOT_SUPPORTED)
        return error;
    snprintf(key, sizeof key, "fan.%s", name);
    return read_u32(call, key, out);
}

API int nvmlDeviceGetFanSpeed(device_t device, uint32_t *out) {
    OPEN_DEVICE(device);
    if (read_or(&call, "fan.count", 0) == 0)
        return NOT_SUPPORTED;
    return read_fan(&call, 0, "percent", out);
}

API int nvmlDeviceGetFanSpeed_v2(device_t device, uint32_t fan, uint32_t *out) {
    OPEN_DEVICE(device);
    return read_fan(&call, fan, "percent", out);
}

struct fan_speed {
    uint32_t version, fan, speed;
};

API int nvmlDeviceGetFanSpeedRPM(device_t device, struct fan_speed *out) {
    OPEN_DEVICE(device);
    REQUIRE(out);
    if (out->version != STRUCT_VERSION(struct fan_speed, 1))
        return VERSION_MISMATCH;
    return read_fan(&call, out->fan, "rpm", &out->speed);
}
