/* The state file: when it is read again, and who still uses an older version of it. */
#define _GNU_SOURCE
#include "state.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char path[4096];
static bool path_given;
static struct state *current;
static struct stat seen;
static double loaded_at;

double now_monotonic(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_dev == b->st_dev &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static char *read_whole(struct stat *info) {
    FILE *file = fopen(path, "re");
    if (!file)
        return NULL;
    char *text = NULL;
    if (fstat(fileno(file), info) == 0 && (text = malloc((size_t)info->st_size + 1)) != NULL)
        text[fread(text, 1, (size_t)info->st_size, file)] = '\0';
    fclose(file);
    return text;
}

static void drop(struct state *state) {
    if (state && atomic_fetch_sub(&state->users, 1) == 1)
        state_free(state);
}

static void find_path(void) {
    const char *named = getenv("GPUDOCTOR_NVML_SIM_STATE");
    snprintf(path, sizeof path, "%s", named ? named : "");
    path_given = true;
}

static void refresh(void) {
    struct stat info;
    if (!path_given)
        find_path();
    if (path[0] == '\0' || stat(path, &info) != 0) {
        drop(current);
        current = NULL;
        return;
    }
    if (current && same_file(&info, &seen))
        return;
    char *text = read_whole(&info);
    struct state *fresh = text ? state_parse(text) : NULL;
    if (!fresh)
        return;
    if (loaded_at == 0)
        loaded_at = now_monotonic();
    if (fresh->epoch < 0)
        fresh->epoch = loaded_at;
    drop(current);
    current = fresh;
    seen = info;
}

struct state *state_acquire(void) {
    pthread_mutex_lock(&lock);
    refresh();
    struct state *state = current;
    if (state)
        atomic_fetch_add(&state->users, 1);
    pthread_mutex_unlock(&lock);
    return state;
}

void state_release(struct state *state) { drop(state); }

/* For tests in this process: the environment of a running program is not safe to change. */
API void gpudoctor_sim_set_state(const char *named) {
    pthread_mutex_lock(&lock);
    snprintf(path, sizeof path, "%s", named ? named : "");
    path_given = true;
    drop(current);
    current = NULL;
    pthread_mutex_unlock(&lock);
}
