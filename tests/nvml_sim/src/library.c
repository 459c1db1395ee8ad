/* Opening and closing the library, and the handles it gives out. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "sim.h"

/* Handles of this many driver reloads are told apart before a slot is used again. */
#define GENERATIONS 16

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint users;
static _Atomic uint64_t generation;
static struct handle handles[GENERATIONS][MAX_GPUS][1 + MAX_MIG];

uint64_t now_microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static uint64_t whole_or_zero(const struct state *state, const char *key) {
    const struct value *value = state_find(state, "driver.", key);
    return value ? value->whole : 0;
}

uint64_t library_generation(void) { return atomic_load(&generation); }

/* While the driver is away its calls say so; after it came back, NVML must be opened again. */
bool library_ready(const struct state *state, int *error) {
    if (atomic_load(&users) == 0)
        *error = UNINITIALIZED;
    else if (!state || whole_or_zero(state, "away"))
        *error = DRIVER_NOT_LOADED;
    else if (whole_or_zero(state, "generation") != atomic_load(&generation))
        *error = UNINITIALIZED;
    else
        return true;
    return false;
}

static int open_library(const struct call *call) {
    if (!call->state || whole_or_zero(call->state, "away"))
        return DRIVER_NOT_LOADED;
    uint64_t error = whole_or_zero(call->state, "init_error");
    if (error)
        return (int)error;
    pthread_mutex_lock(&lock);
    atomic_store(&generation, whole_or_zero(call->state, "generation"));
    atomic_fetch_add(&users, 1);
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}

API int nvmlInit(void) {
    OPEN_SYSTEM(NO_INIT);
    return open_library(&call);
}

API int nvmlInit_v2(void) {
    OPEN_SYSTEM(NO_INIT);
    return open_library(&call);
}

API int nvmlInitWithFlags(unsigned flags) {
    OPEN_SYSTEM(NO_INIT);
    (void)flags;
    return open_library(&call);
}

API int nvmlShutdown(void) {
    OPEN_SYSTEM(NO_INIT);
    pthread_mutex_lock(&lock);
    bool opened = atomic_load(&users) > 0;
    if (opened)
        atomic_fetch_sub(&users, 1);
    pthread_mutex_unlock(&lock);
    return opened ? SUCCESS : UNINITIALIZED;
}

API unsigned gpudoctor_sim_users(void) { return atomic_load(&users); }

static device_t handle_at(int gpu, int mig) {
    uint64_t current = atomic_load(&generation);
    struct handle *handle = &handles[current % GENERATIONS][gpu][mig + 1];
    pthread_mutex_lock(&lock);
    if (handle->prefix[0] == '\0' || handle->generation != current) {
        handle->generation = current;
        handle->gpu = gpu;
        handle->mig = mig;
        if (mig == NO_MIG)
            snprintf(handle->prefix, sizeof handle->prefix, "gpu.%d.", gpu);
        else
            snprintf(handle->prefix, sizeof handle->prefix, "gpu.%d.mig.%d.", gpu, mig);
    }
    pthread_mutex_unlock(&lock);
    return handle;
}

device_t handle_gpu(int gpu) { return handle_at(gpu, NO_MIG); }

device_t handle_mig(int gpu, int mig) { return handle_at(gpu, mig); }

bool handle_valid(const void *pointer) {
    uintptr_t at = (uintptr_t)pointer, first = (uintptr_t)handles;
    if (at < first || at >= first + sizeof handles || (at - first) % sizeof(struct handle) != 0)
        return false;
    const struct handle *handle = pointer;
    return handle->prefix[0] != '\0' && handle->generation == atomic_load(&generation);
}
