/* Processes on a device: who holds memory, who works, what was accounted. */
#include "sim.h"

struct process_v1 {
    uint32_t pid;
    uint64_t used;
};

struct process_v2 {
    uint32_t pid;
    uint64_t used;
    uint32_t gi, ci;
};
_Static_assert(sizeof(struct process_v1) == 16 && sizeof(struct process_v2) == 24, "process");

struct process_detail {
    uint32_t pid;
    uint64_t used;
    uint32_t gi, ci;
    uint64_t protected_used;
};

/* A GPU lists the processes of its MIG devices too; a MIG device only its own. */
static bool belongs(const struct call *call, const struct process *process) {
    const struct handle *device = call->device;
    if (process->gpu != device->gpu)
        return false;
    return device->mig == NO_MIG || (process->gi == read_or(call, "gi", NO_INSTANCE) &&
                                     process->ci == read_or(call, "ci", NO_INSTANCE));
}

static uint32_t count_of(const struct call *call, enum process_kind kind) {
    uint32_t found = 0;
    for (size_t i = 0; i < call->state->process_count; i++)
        found += call->state->processes[i].kind == kind && belongs(call, &call->state->processes[i]);
    return found;
}

static void put(void *out, uint32_t at, int version, const struct process *process) {
    if (version == 1)
        ((struct process_v1 *)out)[at] = (struct process_v1){process->pid, process->used};
    else
        ((struct process_v2 *)out)[at] =
            (struct process_v2){process->pid, process->used, process->gi, process->ci};
}

static int list(const struct call *call, enum process_kind kind, int version, uint32_t *count,
                void *out) {
    REQUIRE(count && (out || *count == 0));
    uint32_t room = *count, found = count_of(call, kind), at = 0;
    *count = found;
    if (found > room)
        return INSUFFICIENT_SIZE;
    for (size_t i = 0; i < call->state->process_count; i++) {
        const struct process *process = &call->state->processes[i];
        if (process->kind == kind && belongs(call, process))
            put(out, at++, version, process);
    }
    return SUCCESS;
}

#define PROCESSES(function, kind, version)                                                         \
    API int function(device_t device, uint32_t *count, void *out) {                                \
        OPEN_DEVICE(device);                                                                       \
        int hidden = (int)read_or(&call, "processes.error", SUCCESS);                              \
        return hidden ? hidden : list(&call, kind, version, count, out);                           \
    }

PROCESSES(nvmlDeviceGetComputeRunningProcesses, COMPUTE, 1)
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v2, COMPUTE, 2)
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v3, COMPUTE, 3)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses, GRAPHICS, 1)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v2, GRAPHICS, 2)
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v3, GRAPHICS, 3)
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses, MPS, 1)
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v2, MPS, 2)
PROCESSES(nvmlDeviceGetMPSComputeRunningProcesses_v3, MPS, 3)

struct detail_list {
    uint32_t version, mode, count;
    struct process_detail *rows;
};

API int nvmlDeviceGetRunningProcessDetailList(device_t device, struct detail_list *out) {
    OPEN_DEVICE(device);
    REQUIRE(out && out->mode <= MPS);
    if (out->version != STRUCT_VERSION(struct detail_list, 1))
        return VERSION_MISMATCH;
    enum process_kind kind = out->mode;
    uint32_t room = out->count, found = count_of(&call, kind), at = 0;
    out->count = found;
    if (found > room || (found && !out->rows))
        return INSUFFICIENT_SIZE;
    for (size_t i = 0; i < call.state->process_count; i++) {
        const struct process *process = &call.state->processes[i];
        if (process->kind == kind && belongs(&call, process))
            out->rows[at++] = (struct process_detail){
                process->pid, process->used, process->gi, process->ci, process->protected_used};
    }
    return SUCCESS;
}

struct sample {
    uint32_t pid;
    uint64_t time;
    uint32_t sm, mem, enc, dec;
};
_Static_assert(sizeof(struct sample) == 32, "nvmlProcessUtilizationSample_t");

/* The newest sample of each process is at most 0.1 s old. */
static uint64_t sampled_at(void) {
    uint64_t now = now_microseconds();
    return now - now % 100000u;
}

/* A GPU in MIG mode does not sample its processes. */
static bool samples(const struct call *call) {
    struct call gpu = *call;
    gpu.prefix = handle_gpu(call->device->gpu)->prefix;
    return read_or(&gpu, "mig.current", 0) == 0;
}

static uint32_t count_samples(const struct call *call, uint64_t since) {
    uint32_t found = 0;
    if (sampled_at() <= since)
        return 0;
    for (size_t i = 0; i < call->state->process_count; i++) {
        const struct process *process = &call->state->processes[i];
        found += process->has_utilization && belongs(call, process);
    }
    return found;
}

API int nvmlDeviceGetProcessUtilization(device_t device, struct sample *out, uint32_t *count,
                                        uint64_t since) {
    OPEN_DEVICE(device);
    REQUIRE(count);
    if (!samples(&call))
        return NOT_SUPPORTED;
    uint32_t room = *count, found = count_samples(&call, since), at = 0;
    *count = found;
    if (found == 0)
        return NOT_FOUND;
    if (!out || found > room)
        return INSUFFICIENT_SIZE;
    uint64_t time = sampled_at();
    for (size_t i = 0; i < call.state->process_count; i++) {
        const struct process *process = &call.state->processes[i];
        if (process->has_utilization && belongs(&call, process))
            out[at++] = (struct sample){process->pid, time,         process->sm,
                                        process->mem, process->enc, process->dec};
    }
    return SUCCESS;
}

struct utilization {
    uint64_t time;
    uint32_t pid, sm, mem, enc, dec, jpg, ofa;
};

struct utilization_list {
    uint32_t version, count;
    uint64_t since;
    struct utilization *rows;
};
_Static_assert(sizeof(struct utilization_list) == 24, "nvmlProcessesUtilizationInfo_v1_t");

API int nvmlDeviceGetProcessesUtilizationInfo(device_t device, struct utilization_list *out) {
    OPEN_DEVICE(device);
    REQUIRE(out);
    if (out->version != STRUCT_VERSION(struct utilization_list, 1))
        return VERSION_MISMATCH;
    if (!samples(&call))
        return NOT_SUPPORTED;
    uint32_t room = out->count, found = count_samples(&call, out->since), at = 0;
    out->count = found;
    if (found == 0)
        return NOT_FOUND;
    if (!out->rows || found > room)
        return INSUFFICIENT_SIZE;
    uint64_t time = sampled_at();
    for (size_t i = 0; i < call.state->process_count; i++) {
        const struct process *process = &call.state->processes[i];
        if (process->has_utilization && belongs(&call, process))
            out->rows[at++] = (struct utilization){time,         process->pid, process->sm,
                                                   process->mem, process->enc, process->dec,
                                                   0,            0};
    }
    return SUCCESS;
}
