/* What every call goes through: counting, faults, lost GPUs, a driver that has gone. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim.h"

static struct site *_Atomic sites;

void call_count(struct site *site, const char *name) {
    bool listed = false;
    if (!atomic_load_explicit(&site->listed, memory_order_acquire) &&
        atomic_compare_exchange_strong(&site->listed, &listed, true)) {
        site->name = name;
        struct site *head = atomic_load(&sites);
        do
            site->next = head;
        while (!atomic_compare_exchange_weak(&sites, &head, site));
    }
    atomic_fetch_add_explicit(&site->calls, 1, memory_order_relaxed);
}

/* How often a function was called in this process. */
API unsigned long gpudoctor_sim_calls(const char *name) {
    unsigned long calls = 0;
    for (struct site *site = atomic_load(&sites); site; site = site->next)
        if (strcmp(site->name, name) == 0)
            calls += atomic_load(&site->calls);
    return calls;
}

API void gpudoctor_sim_forget_calls(void) {
    for (struct site *site = atomic_load(&sites); site; site = site->next)
        atomic_store(&site->calls, 0);
}

__attribute__((destructor)) static void write_counts(void) {
    const char *path = getenv("GPUDOCTOR_NVML_SIM_CALLS");
    FILE *file = path && *path ? fopen(path, "ae") : NULL;
    if (!file)
        return;
    for (struct site *site = atomic_load(&sites); site; site = site->next)
        if (atomic_load(&site->calls))
            fprintf(file, "%s %lu\n", site->name, atomic_load(&site->calls));
    fclose(file);
}

static bool fault_applies(const struct fault *fault, const char *name, int gpu) {
    return (fault->gpu == ANY_GPU || fault->gpu == gpu) &&
           (strcmp(fault->function, "*") == 0 || strcmp(fault->function, name) == 0);
}

static double longest_hang(const struct state *state, const char *name, int gpu) {
    double longest = 0;
    for (size_t i = 0; state && i < state->fault_count; i++)
        if (fault_applies(&state->faults[i], name, gpu) && state->faults[i].hang_seconds > longest)
            longest = state->faults[i].hang_seconds;
    return longest;
}

/* Sleeps in small steps, so that a hang ends as soon as the state no longer asks for it. */
static void hang(struct call *call, const char *name, int gpu) {
    double started = now_monotonic(), wanted;
    while ((wanted = longest_hang(call->state, name, gpu)) > 0) {
        double left = started + wanted - now_monotonic();
        if (left <= 0)
            return;
        long step = left < 0.01 ? (long)(left * 1e9) : 10000000L;
        struct timespec pause = {0, step};
        nanosleep(&pause, NULL);
        struct state *fresh = state_acquire();
        if (call->state)
            state_release(call->state);
        call->state = fresh;
    }
}

int call_check_faults(struct call *call, const char *name, int gpu) {
    if (!call->state || call->state->fault_count == 0)
        return SUCCESS;
    hang(call, name, gpu);
    for (size_t i = 0; call->state && i < call->state->fault_count; i++) {
        const struct fault *fault = &call->state->faults[i];
        if (fault->error && fault_applies(fault, name, gpu))
            return fault->error;
    }
    return SUCCESS;
}

static int call_open(struct call *call, struct site *site, const char *name, int gpu, int flags) {
    call_count(site, name);
    call->state = state_acquire();
    call->prefix = "";
    int fault = call_check_faults(call, name, gpu);
    if (fault != SUCCESS)
        return fault;
    int error = SUCCESS;
    if (!(flags & NO_INIT) && !library_ready(call->state, &error))
        return error;
    if (!call->state)
        return flags & NO_INIT ? SUCCESS : UNINITIALIZED;
    call->elapsed = now_monotonic() - call->state->epoch;
    return SUCCESS;
}

int call_begin_gpu(struct call *call, struct site *site, const char *name, int gpu, int flags) {
    return call_open(call, site, name, gpu, flags);
}

int call_begin(struct call *call, struct site *site, const char *name, const void *device, int flags) {
    const struct handle *handle = handle_valid(device) ? device : NULL;
    int error = call_open(call, site, name, handle ? handle->gpu : ANY_GPU, flags);
    if (error != SUCCESS)
        return error;
    if (!handle || handle->gpu >= call->state->gpu_count)
        return INVALID_ARGUMENT;
    call->device = handle;
    call->prefix = handle->prefix;
    if (!(flags & LOST_ANSWERS) &&
        state_find(call->state, handle_gpu(handle->gpu)->prefix, "lost"))
        return GPU_IS_LOST;
    return SUCCESS;
}

void call_end(struct call *call) {
    if (call->state)
        state_release(call->state);
}
