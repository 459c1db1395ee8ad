/* Event sets: each set sees, in order, the events that were added after it was made. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "sim.h"

#define DEFAULT_TYPES 0x1Fu /* ECC errors, P-state, Xid, clock */

struct event_set {
    struct event_set *next;
    uint64_t seen;
    uint64_t types[MAX_GPUS];
};

struct event_data {
    device_t device;
    uint64_t type, data;
    uint32_t gi, ci;
};
_Static_assert(sizeof(struct event_data) == 32, "nvmlEventData_t");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct event_set *sets;

static bool is_open(const struct event_set *wanted) {
    for (const struct event_set *set = sets; set; set = set->next)
        if (set == wanted)
            return true;
    return false;
}

static uint64_t newest(const struct state *state) {
    uint64_t number = 0;
    for (size_t i = 0; i < state->event_count; i++)
        if (state->events[i].number > number)
            number = state->events[i].number;
    return number;
}

API int nvmlEventSetCreate(struct event_set **out) {
    OPEN_SYSTEM(0);
    REQUIRE(out);
    struct event_set *set = calloc(1, sizeof *set);
    if (!set)
        return MEMORY;
    set->seen = newest(call.state);
    pthread_mutex_lock(&lock);
    set->next = sets;
    sets = set;
    pthread_mutex_unlock(&lock);
    *out = set;
    return SUCCESS;
}

API int nvmlEventSetFree(struct event_set *set) {
    OPEN_SYSTEM(0);
    int result = INVALID_ARGUMENT;
    pthread_mutex_lock(&lock);
    for (struct event_set **at = &sets; *at; at = &(*at)->next)
        if (*at == set) {
            *at = set->next;
            result = SUCCESS;
            break;
        }
    pthread_mutex_unlock(&lock);
    if (result == SUCCESS)
        free(set);
    return result;
}

API int nvmlDeviceGetSupportedEventTypes(device_t device, uint64_t *out) {
    OPEN_DEVICE(device);
    REQUIRE(out);
    *out = read_or(&call, "events.supported", DEFAULT_TYPES);
    return SUCCESS;
}

API int nvmlDeviceRegisterEvents(device_t device, uint64_t types, struct event_set *set) {
    OPEN_DEVICE(device);
    if (types & ~read_or(&call, "events.supported", DEFAULT_TYPES))
        return NOT_SUPPORTED;
    pthread_mutex_lock(&lock);
    bool open = is_open(set);
    if (open)
        set->types[device->gpu] |= types;
    pthread_mutex_unlock(&lock);
    return open ? SUCCESS : INVALID_ARGUMENT;
}

static const struct event *next_event(const struct state *state, const struct event_set *set) {
    const struct event *found = NULL;
    for (size_t i = 0; i < state->event_count; i++) {
        const struct event *event = &state->events[i];
        if (event->number > set->seen && event->gpu >= 0 && event->gpu < MAX_GPUS &&
            (set->types[event->gpu] & event->type) && (!found || event->number < found->number))
            found = event;
    }
    return found;
}

static bool watches_lost_gpu(const struct state *state, const struct event_set *set) {
    for (int gpu = 0; gpu < state->gpu_count; gpu++)
        if (set->types[gpu] && state_find(state, handle_gpu(gpu)->prefix, "lost"))
            return true;
    return false;
}

/* SUCCESS with an event, TIMEOUT when there is none yet, or why waiting is over. */
static int poll_events(const struct state *state, struct event_set *set, struct event_data *out) {
    int error = SUCCESS;
    if (!library_ready(state, &error))
        return error;
    pthread_mutex_lock(&lock);
    const struct event *event = NULL;
    error = is_open(set) ? TIMEOUT : INVALID_ARGUMENT;
    if (error == TIMEOUT && (event = next_event(state, set)) != NULL) {
        set->seen = event->number;
        *out = (struct event_data){handle_gpu(event->gpu), event->type, event->data, event->gi,
                                   event->ci};
        error = SUCCESS;
    } else if (error == TIMEOUT && watches_lost_gpu(state, set)) {
        error = GPU_IS_LOST;
    }
    pthread_mutex_unlock(&lock);
    return error;
}

static int wait_event(struct event_set *set, struct event_data *out, uint32_t timeout_ms) {
    double end = now_monotonic() + timeout_ms / 1e3;
    for (;;) {
        struct state *state = state_acquire();
        int result = poll_events(state, set, out);
        if (state)
            state_release(state);
        double left = end - now_monotonic();
        if (result != TIMEOUT || left <= 0)
            return result;
        struct timespec pause = {0, left < 0.005 ? (long)(left * 1e9) : 5000000L};
        nanosleep(&pause, NULL);
    }
}

API int nvmlEventSetWait_v2(struct event_set *set, struct event_data *out, uint32_t timeout_ms) {
    OPEN_SYSTEM(0);
    REQUIRE(set && out);
    return wait_event(set, out, timeout_ms);
}

/* The first version's structure ends before the instance ids. */
API int nvmlEventSetWait(struct event_set *set, void *out, uint32_t timeout_ms) {
    OPEN_SYSTEM(0);
    REQUIRE(set && out);
    struct event_data data;
    int result = wait_event(set, &data, timeout_ms);
    if (result == SUCCESS) {
        ((device_t *)out)[0] = data.device;
        ((uint64_t *)out)[1] = data.type;
        ((uint64_t *)out)[2] = data.data;
    }
    return result;
}
