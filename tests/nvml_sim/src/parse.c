/* From the text of the state file to a table of keys. A row is `key value`; `#` starts a comment. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

static uint32_t hash_more(uint32_t hash, const char *text) {
    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 16777619u;
    return hash;
}

static size_t count_lines(const char *text) {
    size_t lines = 1;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static void insert(struct state *state, const char *key, const char *text) {
    uint32_t hash = hash_more(2166136261u, key);
    uint32_t slot = hash & state->mask;
    while (state->entries[slot].key && strcmp(state->entries[slot].key, key) != 0)
        slot = (slot + 1) & state->mask;
    struct entry *entry = &state->entries[slot];
    entry->key = key;
    entry->hash = hash;
    entry->length = (uint32_t)strlen(key);
    value_parse(&entry->value, text);
}

const struct value *state_find(const struct state *state, const char *prefix, const char *key) {
    size_t head = strlen(prefix), tail = strlen(key);
    uint32_t hash = hash_more(hash_more(2166136261u, prefix), key);
    for (uint32_t slot = hash & state->mask;; slot = (slot + 1) & state->mask) {
        const struct entry *entry = &state->entries[slot];
        if (!entry->key)
            return NULL;
        if (entry->hash == hash && entry->length == head + tail &&
            memcmp(entry->key, prefix, head) == 0 && memcmp(entry->key + head, key, tail) == 0)
            return &entry->value;
    }
}

/* Rows that repeat a kind of thing go to lists; true when the row was one of these. */
static bool take_list_row(struct state *state, char *key, char *rest) {
    int gpu = 0, at = 0;
    if (strncmp(key, "fault.", 6) == 0)
        return row_fault(state, key + 6, rest);
    if (strncmp(key, "event.", 6) == 0)
        return row_event(state, strtoull(key + 6, NULL, 10), rest);
    if (sscanf(key, "gpu.%d.process.%n", &gpu, &at) == 1 && at > 0)
        return row_process(state, gpu, rest);
    if (sscanf(key, "gpu.%d.account.%n", &gpu, &at) == 1 && at > 0)
        return row_account(state, gpu, rest);
    return false;
}

static void parse_line(struct state *state, char *line) {
    line += strspn(line, " \t");
    if (*line == '\0' || *line == '#')
        return;
    char *rest = line + strcspn(line, " \t");
    if (*rest)
        *rest++ = '\0';
    rest += strspn(rest, " \t");
    if (!take_list_row(state, line, rest))
        insert(state, line, rest);
}

static bool make_room(struct state *state, size_t lines) {
    uint32_t size = 64;
    while (size < 2 * lines)
        size *= 2;
    state->mask = size - 1;
    state->entries = calloc(size, sizeof *state->entries);
    state->processes = calloc(lines, sizeof *state->processes);
    state->accounts = calloc(lines, sizeof *state->accounts);
    state->faults = calloc(lines, sizeof *state->faults);
    state->events = calloc(lines, sizeof *state->events);
    return state->entries && state->processes && state->accounts && state->faults && state->events;
}

struct state *state_parse(char *text) {
    struct state *state = calloc(1, sizeof *state);
    if (!state) {
        free(text);
        return NULL;
    }
    state->text = text;
    atomic_init(&state->users, 1);
    if (!make_room(state, count_lines(text))) {
        state_free(state);
        return NULL;
    }
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;)
        parse_line(state, line);
    const struct value *count = state_find(state, "gpu.", "count");
    state->gpu_count = count ? (int)count->whole : 0;
    if (state->gpu_count > MAX_GPUS)
        state->gpu_count = MAX_GPUS;
    const struct value *epoch = state_find(state, "", "epoch");
    state->epoch = epoch ? epoch->real : -1;
    return state;
}

void state_free(struct state *state) {
    free(state->text);
    free(state->entries);
    free(state->processes);
    free(state->accounts);
    free(state->faults);
    free(state->events);
    free(state);
}
