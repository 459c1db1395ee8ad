#define _GNU_SOURCE
#include "gpus.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { GPUS = 64 };

typedef struct {
    long long used[GPUS];
} Change;

static const char *state_file(void) {
    return getenv("GPUDOCTOR_NVML_SIM_STATE");
}

/* Whether the row is one of a process: its GPU and memory. */
static int process_row(const char *row, int *gpu, int *pid, long long *memory) {
    int number;
    char kind[16], amount[32];
    if (sscanf(row, "gpu.%d.process.%d %15s %d %31s", gpu, &number, kind, pid, amount) != 5) return 0;
    *memory = atoll(amount);
    return *gpu >= 0 && *gpu < GPUS;
}

static int used_row(const char *row, int *gpu, long long *used) {
    return sscanf(row, "gpu.%d.memory.used %lld", gpu, used) == 2 && *gpu >= 0 && *gpu < GPUS;
}

static long long number_of(const char *text, int gpu, const char *name) {
    char key[64];
    snprintf(key, sizeof key, "\ngpu.%d.%s ", gpu, name);
    const char *row = strstr(text, key);
    return row ? atoll(row + strlen(key)) : 0;
}

static char *read_all(const char *path) {
    char *text = NULL;
    size_t size = 0;
    FILE *file = path ? fopen(path, "r") : NULL;
    if (file == NULL) return NULL;
    if (getdelim(&text, &size, '\0', file) < 0) { free(text); text = NULL; }
    fclose(file);
    return text;
}

/* Writes the file anew: without the rows of `pid`, which go to `kept`, or with `more` at its end. */
static void rewrite(const char *text, int pid, FILE *kept, const char *more, const Change *change) {
    char scratch[4096];
    snprintf(scratch, sizeof scratch, "%s.checkpoint", state_file());
    FILE *out = fopen(scratch, "w");
    if (out == NULL) abort();
    for (const char *row = text; *row;) {
        size_t length = strcspn(row, "\n");
        int gpu, owner;
        long long value;
        if (kept && process_row(row, &gpu, &owner, &value) && owner == pid)
            fprintf(kept, "%.*s\n", (int)length, row);
        else if (used_row(row, &gpu, &value))
            fprintf(out, "gpu.%d.memory.used %lld\n", gpu, value + change->used[gpu]);
        else
            fprintf(out, "%.*s\n", (int)length, row);
        row += length + (row[length] == '\n');
    }
    if (more) fputs(more, out);
    fclose(out);
    rename(scratch, state_file());
}

static Change sum(const char *text, int pid, int sign) {
    Change change = {{0}};
    for (const char *row = text; *row;) {
        size_t length = strcspn(row, "\n");
        int gpu, owner;
        long long memory;
        if (process_row(row, &gpu, &owner, &memory) && (pid == 0 || owner == pid))
            change.used[gpu] += sign * memory;
        row += length + (row[length] == '\n');
    }
    return change;
}

void gpus_take(int pid, const char *kept) {
    char *text = read_all(state_file());
    FILE *file = fopen(kept, "w");
    if (text != NULL && file != NULL) {
        Change change = sum(text, pid, -1);
        rewrite(text, pid, file, NULL, &change);
    }
    if (file != NULL) fclose(file);
    free(text);
}

int gpus_give(const char *kept) {
    char *text = read_all(state_file()), *rows = read_all(kept);
    int fits = 1;
    if (text != NULL && rows != NULL) {
        Change change = sum(rows, 0, 1);
        for (int gpu = 0; gpu < GPUS; gpu++)
            if (change.used[gpu] > 0 && number_of(text, gpu, "memory.used") + change.used[gpu] >
                                            number_of(text, gpu, "memory.total"))
                fits = 0;
        if (fits) rewrite(text, 0, NULL, rows, &change);
    }
    if (fits) unlink(kept);
    free(text);
    free(rows);
    return fits;
}
