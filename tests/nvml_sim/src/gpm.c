/* GPU performance monitoring: metrics come from two samples of one device. */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

#define SAMPLE_TAKEN 0x47504D53u

struct gpm_sample {
    uint32_t mark;
    int gpu;
    uint32_t gi;
    double taken_at;
};

struct gpm_support {
    uint32_t version, supported;
};

struct gpm_metric {
    uint32_t id;
    int error;
    double value;
    const char *short_name, *long_name, *unit;
};

struct gpm_metrics {
    uint32_t version, count;
    struct gpm_sample *first, *second;
    struct gpm_metric metrics[];
};
_Static_assert(sizeof(struct gpm_metric) == 40, "nvmlGpmMetric_t");

static bool has_gpm(const struct call *call) { return read_or(call, "gpm.supported", 0) != 0; }

API int nvmlGpmQueryDeviceSupport(device_t device, struct gpm_support *out) {
    OPEN_DEVICE(device);
    REQUIRE(out);
    if (out->version != 1)
        return VERSION_MISMATCH;
    out->supported = has_gpm(&call);
    return SUCCESS;
}

API int nvmlGpmSampleAlloc(struct gpm_sample **out) {
    OPEN_SYSTEM(0);
    REQUIRE(out);
    *out = calloc(1, sizeof **out);
    return *out ? SUCCESS : MEMORY;
}

API int nvmlGpmSampleFree(struct gpm_sample *sample) {
    OPEN_SYSTEM(0);
    REQUIRE(sample);
    free(sample);
    return SUCCESS;
}

static int take(const struct call *call, uint32_t gi, struct gpm_sample *sample) {
    REQUIRE(sample);
    if (!has_gpm(call))
        return NOT_SUPPORTED;
    *sample = (struct gpm_sample){SAMPLE_TAKEN, call->device->gpu, gi, call->elapsed};
    return SUCCESS;
}

API int nvmlGpmSampleGet(device_t device, struct gpm_sample *sample) {
    OPEN_DEVICE(device);
    REQUIRE(device->mig == NO_MIG);
    return take(&call, NO_INSTANCE, sample);
}

API int nvmlGpmMigSampleGet(device_t device, uint32_t gi, struct gpm_sample *sample) {
    OPEN_DEVICE(device);
    REQUIRE(device->mig == NO_MIG);
    return take(&call, gi, sample);
}

/* The mean of the value at both ends: exact for constants and ramps. */
static int read_metric(const struct call *call, const struct gpm_metrics *request, uint32_t id,
                       double *out) {
    char key[48];
    if (request->first->gi == NO_INSTANCE)
        snprintf(key, sizeof key, "gpm.%u", id);
    else
        snprintf(key, sizeof key, "gpm.gi.%u.%u", request->first->gi, id);
    const struct value *value = state_find(call->state, call->prefix, key);
    if (!value)
        return NOT_SUPPORTED;
    if (value->kind == ERROR)
        return (int)value->whole;
    *out = (value_at(value, request->first->taken_at).d +
            value_at(value, request->second->taken_at).d) /
           2;
    return SUCCESS;
}

static bool comparable(const struct gpm_sample *first, const struct gpm_sample *second) {
    return first && second && first != second && first->mark == SAMPLE_TAKEN &&
           second->mark == SAMPLE_TAKEN && first->gpu == second->gpu && first->gi == second->gi &&
           first->taken_at < second->taken_at;
}

API int nvmlGpmMetricsGet(struct gpm_metrics *out) {
    OPEN_GPU(out && out->first ? out->first->gpu : ANY_GPU);
    REQUIRE(out);
    if (out->version != 1)
        return VERSION_MISMATCH;
    REQUIRE(comparable(out->first, out->second));
    call.prefix = handle_gpu(out->first->gpu)->prefix;
    for (uint32_t i = 0; i < out->count; i++) {
        struct gpm_metric *metric = &out->metrics[i];
        metric->short_name = metric->long_name = metric->unit = "";
        metric->error = read_metric(&call, out, metric->id, &metric->value);
    }
    return SUCCESS;
}
