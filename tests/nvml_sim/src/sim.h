/* A simulated NVIDIA Management Library. Shared declarations. */
#ifndef GPUDOCTOR_SIM_H
#define GPUDOCTOR_SIM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define API __attribute__((visibility("default")))
#define MAX_GPUS 64
#define MAX_MIG 16
#define ALL_LINKS 0xFFFFFFFFu
#define ANY_GPU (-1)
#define NO_MIG (-1)
#define NO_INSTANCE 0xFFFFFFFFu
#define NOT_AVAILABLE UINT64_MAX

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NO_PERMISSION = 4,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    TIMEOUT = 10,
    GPU_IS_LOST = 15,
    MEMORY = 20,
    VERSION_MISMATCH = 25,
};

/* ---- values: what stands behind a key in the state file ---- */

enum value_kind { TEXT, NUMBER, RAMP, WAVE, ERROR };

struct value {
    enum value_kind kind;
    bool negative;
    uint64_t whole; /* exact for integers, however large */
    double real;
    double rate; /* RAMP: units per second; WAVE: the other end */
    double period;
    const char *text; /* always the text as it stands in the file */
};

struct number {
    uint64_t u;
    double d;
};

void value_parse(struct value *value, const char *text);
struct number value_at(const struct value *value, double elapsed);

/* ---- state: one parsed version of the file, shared by the calls that run on it ---- */

enum process_kind { COMPUTE, GRAPHICS, MPS };

struct process {
    int gpu;
    enum process_kind kind;
    uint32_t pid, gi, ci;
    uint64_t used, protected_used;
    bool has_utilization;
    uint32_t sm, mem, enc, dec;
};

struct account {
    int gpu;
    uint32_t pid, gpu_util, mem_util, running;
    uint64_t max_memory, time, start;
};

struct fault {
    const char *function;
    int gpu;
    int error;
    double hang_seconds;
};

struct event {
    uint64_t number, type, data;
    int gpu;
    uint32_t gi, ci;
};

struct entry {
    uint32_t hash, length;
    const char *key;
    struct value value;
};

struct state {
    atomic_int users;
    char *text;
    struct entry *entries;
    uint32_t mask, count;
    struct process *processes;
    struct account *accounts;
    struct fault *faults;
    struct event *events;
    size_t process_count, account_count, fault_count, event_count;
    int gpu_count;
    double epoch;
};

struct state *state_acquire(void);
void state_release(struct state *state);
const struct value *state_find(const struct state *state, const char *prefix, const char *key);
double now_monotonic(void);

/* ---- handles ---- */

struct handle {
    uint64_t generation; /* of the driver that gave it out: a reload makes it void */
    int gpu, mig;
    char prefix[24];
};

typedef struct handle *device_t;

device_t handle_gpu(int gpu);
device_t handle_mig(int gpu, int mig);
bool handle_valid(const void *pointer);

/* ---- calls ---- */

struct site {
    const char *name;
    atomic_ulong calls;
    atomic_bool listed;
    struct site *next;
};

struct call {
    struct state *state;
    const struct handle *device;
    const char *prefix;
    double elapsed;
};

#define LOST_ANSWERS 1 /* still answers for a GPU that fell off the bus */
#define NO_INIT 2      /* needs no initialised library */

int call_begin(struct call *call, struct site *site, const char *name, const void *device, int flags);
int call_begin_gpu(struct call *call, struct site *site, const char *name, int gpu, int flags);
void call_end(struct call *call);
int call_check_faults(struct call *call, const char *name, int gpu);
void call_count(struct site *site, const char *name);

#define OPEN(device, flags)                                                                        \
    static struct site site_;                                                                      \
    __attribute__((cleanup(call_end))) struct call call = {0};                                     \
    int begun_ = call_begin(&call, &site_, __func__, (device), (flags));                           \
    if (begun_ != SUCCESS)                                                                         \
    return begun_
#define OPEN_DEVICE(device) OPEN(device, 0)
#define OPEN_CACHED(device) OPEN(device, LOST_ANSWERS)
#define OPEN_AT(gpu, flags)                                                                        \
    static struct site site_;                                                                      \
    __attribute__((cleanup(call_end))) struct call call = {0};                                     \
    int begun_ = call_begin_gpu(&call, &site_, __func__, (gpu), (flags));                          \
    if (begun_ != SUCCESS)                                                                         \
    return begun_
#define OPEN_SYSTEM(flags) OPEN_AT(ANY_GPU, flags)
#define OPEN_GPU(gpu) OPEN_AT(gpu, 0)
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return INVALID_ARGUMENT;                                                               \
    } while (0)
#define STRUCT_VERSION(type, number) ((uint32_t)(sizeof(type) | ((uint32_t)(number) << 24)))

/* ---- reading keys: absent is NOT_SUPPORTED, `!15` is that error ---- */

int read_number(const struct call *call, const char *key, struct number *out);
int read_u32(const struct call *call, const char *key, uint32_t *out);
int read_i32(const struct call *call, const char *key, int32_t *out);
int read_u64(const struct call *call, const char *key, uint64_t *out);
int read_text(const struct call *call, const char *key, char *out, uint32_t length);
uint64_t read_or(const struct call *call, const char *key, uint64_t fallback);
const char *text_or(const struct call *call, const char *key, const char *fallback);
int read_link_u64(const struct call *call, uint32_t link, const char *name, uint64_t *out);

/* ---- library lifetime ---- */

bool library_ready(const struct state *state, int *error);
uint64_t library_generation(void);
uint64_t now_microseconds(void);

#define DEVICE_U32(function, key)                                                                  \
    API int function(device_t device, uint32_t *out) {                                             \
        OPEN_DEVICE(device);                                                                       \
        return read_u32(&call, key, out);                                                          \
    }
#define DEVICE_U64(function, key)                                                                  \
    API int function(device_t device, uint64_t *out) {                                             \
        OPEN_DEVICE(device);                                                                       \
        return read_u64(&call, key, out);                                                          \
    }
#define DEVICE_PAIR_U32(function, first_key, second_key)                                           \
    API int function(device_t device, uint32_t *first, uint32_t *second) {                         \
        OPEN_DEVICE(device);                                                                       \
        int error = read_u32(&call, first_key, first);                                             \
        return error != SUCCESS ? error : read_u32(&call, second_key, second);                     \
    }
#define DEVICE_TEXT(function, key)                                                                 \
    API int function(device_t device, char *out, uint32_t length) {                                \
        OPEN_CACHED(device);                                                                       \
        return read_text(&call, key, out, length);                                                 \
    }

#endif
