/* A libcuda.so.1 with the checkpoint functions of CUDA 12.8 and newer.

   GPUDOCTOR_CUDA_SIM names a folder:
     PID           the state of a process that holds a CUDA context: 0 running, 1 locked, 2 checkpointed
     PID.busy      its GPU work never ends, so that a lock runs into its time limit
     PID.rows      what it held on the GPUs before it was checkpointed (written here)
     faults        rows `FUNCTION error CODE`, `FUNCTION hang SECONDS`, `FUNCTION die` (the process is
                   killed), `FUNCTION crash` (the caller is), `FUNCTION after CODE` (done, yet an error)
     calls         one row for each call (written here)
   A process without a file has no context. The GPUs' memory is that of the simulated NVML, whose file
   GPUDOCTOR_NVML_SIM_STATE names: a checkpoint takes the process's rows out of it. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gpus.h"

#define API __attribute__((visibility("default")))

enum { OK = 0, INVALID_VALUE = 1, NOT_INITIALIZED = 3, OUT_OF_MEMORY = 2, ILLEGAL_STATE = 401,
       NOT_READY = 600, NOT_SUPPORTED = 801 };
enum { RUNNING = 0, LOCKED = 1, CHECKPOINTED = 2 };

typedef struct {
    unsigned timeoutMs, reserved0;
    uint64_t reserved1[7];
} LockArgs;

_Static_assert(sizeof(LockArgs) == 64, "CUcheckpointLockArgs has 64 bytes");

static int initialized;

static void place(char *path, size_t size, const char *name) {
    const char *folder = getenv("GPUDOCTOR_CUDA_SIM");
    snprintf(path, size, "%s/%s", folder ? folder : "/nonexistent", name);
}

static void note(const char *function, int pid, unsigned number) {
    char path[4096];
    place(path, sizeof path, "calls");
    FILE *file = fopen(path, "a");
    if (file == NULL) return;
    fprintf(file, "%s %d %u\n", function, pid, number);
    fclose(file);
}

static void nap(double seconds) {
    struct timespec left = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

/* What the folder says of this function: the code to answer at once, or -1 to go on; `after` is the
   code to answer when it is done. */
static int fault(const char *function, int pid, int *after) {
    char path[4096], name[64], kind[16];
    double value;
    int answer = -1;
    place(path, sizeof path, "faults");
    FILE *file = fopen(path, "r");
    if (file == NULL) return -1;
    while (fscanf(file, "%63s %15s %lf", name, kind, &value) == 3) {
        if (strcmp(name, function) != 0) continue;
        if (strcmp(kind, "error") == 0) answer = (int)value;
        if (strcmp(kind, "after") == 0) *after = (int)value;
        if (strcmp(kind, "hang") == 0) nap(value);
        if (strcmp(kind, "die") == 0) { kill(pid, SIGKILL); answer = (int)value; }
        if (strcmp(kind, "crash") == 0) abort();
    }
    fclose(file);
    return answer;
}

/* The driver takes a thread for its process. */
static int process_of(int pid) {
    char path[64], line[256];
    int found = -1;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL) return -1;
    while (found < 0 && fgets(line, sizeof line, file)) sscanf(line, "Tgid: %d", &found);
    fclose(file);
    return found;
}

static int state_of(int pid) {
    char path[4096], name[32];
    int state = -1;
    snprintf(name, sizeof name, "%d", pid);
    place(path, sizeof path, name);
    FILE *file = fopen(path, "r");
    if (file == NULL) return -1;
    if (fscanf(file, "%d", &state) != 1) state = -1;
    fclose(file);
    return state;
}

static void set_state(int pid, int state) {
    char path[4096], scratch[4096], name[48];
    snprintf(name, sizeof name, "%d", pid);
    place(path, sizeof path, name);
    snprintf(name, sizeof name, ".%d.writing", pid);
    place(scratch, sizeof scratch, name);
    FILE *file = fopen(scratch, "w");
    if (file == NULL) abort();
    fprintf(file, "%d\n", state);
    fclose(file);
    rename(scratch, path);
}

static int is_busy(int pid) {
    char path[4096], name[32];
    snprintf(name, sizeof name, "%d.busy", pid);
    place(path, sizeof path, name);
    return access(path, F_OK) == 0;
}

static void rows_file(char *path, size_t size, int pid) {
    char name[32];
    snprintf(name, sizeof name, "%d.rows", pid);
    place(path, size, name);
}

/* The state in which the process is, after the faults; below 0 the negative of an error. */
static int enter(const char *function, int *pid, unsigned number, int *after) {
    note(function, *pid, number);
    *after = OK;
    int code = fault(function, *pid, after);
    if (code >= 0) return -code;
    *pid = process_of(*pid);
    int state = *pid < 0 ? -1 : state_of(*pid);
    return state < 0 ? -INVALID_VALUE : state;
}

API int cuInit(unsigned flags) {
    int after = OK;
    (void)flags;
    note("cuInit", 0, 0);
    int code = fault("cuInit", 0, &after);
    if (code >= 0) return code;
    initialized = 1;
    return OK;
}

API int cuCheckpointProcessGetState(int pid, int *state) {
    int after, now = enter("GetState", &pid, 0, &after);
    if (now < 0) return -now;
    *state = now;
    return after;
}

API int cuCheckpointProcessLock(int pid, LockArgs *args) {
    unsigned limit = args ? args->timeoutMs : 0;
    int after, now = enter("Lock", &pid, limit, &after);
    if (now < 0) return -now;
    if (now != RUNNING) return ILLEGAL_STATE;
    for (unsigned waited = 0; is_busy(pid); waited += 10) {
        if (limit != 0 && waited >= limit) return NOT_READY;
        nap(0.01);
    }
    set_state(pid, LOCKED);
    return after;
}

API int cuCheckpointProcessCheckpoint(int pid, void *args) {
    char rows[4096];
    int after, now = enter("Checkpoint", &pid, 0, &after);
    (void)args;
    if (now < 0) return -now;
    if (now != LOCKED) return ILLEGAL_STATE;
    rows_file(rows, sizeof rows, pid);
    gpus_take(pid, rows);
    set_state(pid, CHECKPOINTED);
    return after;
}

API int cuCheckpointProcessRestore(int pid, void *args) {
    char rows[4096];
    int after, now = enter("Restore", &pid, 0, &after);
    (void)args;
    if (now < 0) return -now;
    if (!initialized && getenv("GPUDOCTOR_CUDA_SIM_NO_PERSISTENCE")) return NOT_INITIALIZED;
    if (now != CHECKPOINTED) return ILLEGAL_STATE;
    rows_file(rows, sizeof rows, pid);
    if (!gpus_give(rows)) return OUT_OF_MEMORY;
    set_state(pid, LOCKED);
    return after;
}

API int cuCheckpointProcessUnlock(int pid, void *args) {
    int after, now = enter("Unlock", &pid, 0, &after);
    (void)args;
    if (now < 0) return -now;
    if (now != LOCKED) return ILLEGAL_STATE;
    set_state(pid, RUNNING);
    return after;
}

API int cuGetErrorName(int code, const char **text) {
    switch (code) {
        case OK: *text = "CUDA_SUCCESS"; return OK;
        case INVALID_VALUE: *text = "CUDA_ERROR_INVALID_VALUE"; return OK;
        case OUT_OF_MEMORY: *text = "CUDA_ERROR_OUT_OF_MEMORY"; return OK;
        case NOT_INITIALIZED: *text = "CUDA_ERROR_NOT_INITIALIZED"; return OK;
        case ILLEGAL_STATE: *text = "CUDA_ERROR_ILLEGAL_STATE"; return OK;
        case NOT_READY: *text = "CUDA_ERROR_NOT_READY"; return OK;
        case NOT_SUPPORTED: *text = "CUDA_ERROR_NOT_SUPPORTED"; return OK;
        default: return INVALID_VALUE;
    }
}
