/* The rows that describe processes, accounting records, faults and events. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "state.h"

static char *next_word(char **rest) {
    char *word;
    do
        word = strsep(rest, " \t\r");
    while (word && *word == '\0');
    return word;
}

/* Splits `name=value` in place; NULL when the word has no '='. */
static char *split(char *word) {
    char *equals = strchr(word, '=');
    if (equals)
        *equals++ = '\0';
    return equals;
}

static uint64_t whole(const char *text) {
    return strcmp(text, "-") == 0 ? NOT_AVAILABLE : strtoull(text, NULL, 0);
}

static void set_process(struct process *process, const char *name, const char *text) {
    uint32_t number = (uint32_t)whole(text);
    if (strcmp(name, "gi") == 0)
        process->gi = number;
    else if (strcmp(name, "ci") == 0)
        process->ci = number;
    else if (strcmp(name, "protected") == 0)
        process->protected_used = whole(text);
    else if (strcmp(name, "sm") == 0)
        process->sm = number, process->has_utilization = true;
    else if (strcmp(name, "mem") == 0)
        process->mem = number, process->has_utilization = true;
    else if (strcmp(name, "enc") == 0)
        process->enc = number, process->has_utilization = true;
    else if (strcmp(name, "dec") == 0)
        process->dec = number, process->has_utilization = true;
}

/* `compute 1234 536870912 gi=1 ci=0 sm=40`; the memory may be `-`: not available. */
bool row_process(struct state *state, int gpu, char *words) {
    char *kind = next_word(&words), *pid = next_word(&words), *used = next_word(&words);
    if (!kind || !pid || !used)
        return false;
    struct process *process = &state->processes[state->process_count];
    *process = (struct process){
        .gpu = gpu,
        .kind = strcmp(kind, "graphics") == 0 ? GRAPHICS : strcmp(kind, "mps") == 0 ? MPS : COMPUTE,
        .pid = (uint32_t)whole(pid),
        .used = whole(used),
        .gi = NO_INSTANCE,
        .ci = NO_INSTANCE,
        .protected_used = 0,
    };
    for (char *word; (word = next_word(&words)) != NULL;) {
        char *text = split(word);
        if (text)
            set_process(process, word, text);
    }
    state->process_count++;
    return true;
}

/* `1234 gpu=50 mem=10 max=1073741824 time=5000 start=1700000000000000 running=0` */
bool row_account(struct state *state, int gpu, char *words) {
    char *pid = next_word(&words);
    if (!pid)
        return false;
    struct account *account = &state->accounts[state->account_count++];
    *account = (struct account){.gpu = gpu, .pid = (uint32_t)whole(pid)};
    for (char *word; (word = next_word(&words)) != NULL;) {
        char *text = split(word);
        if (!text)
            continue;
        uint64_t number = whole(text);
        if (strcmp(word, "gpu") == 0)
            account->gpu_util = (uint32_t)number;
        else if (strcmp(word, "mem") == 0)
            account->mem_util = (uint32_t)number;
        else if (strcmp(word, "running") == 0)
            account->running = (uint32_t)number;
        else if (strcmp(word, "max") == 0)
            account->max_memory = number;
        else if (strcmp(word, "time") == 0)
            account->time = number;
        else if (strcmp(word, "start") == 0)
            account->start = number;
    }
    return true;
}

/* `fault.nvmlDeviceGetName error 15 gpu=1` and `fault.* hang 30`; rows may repeat a function. */
bool row_fault(struct state *state, const char *function, char *words) {
    char *kind = next_word(&words), *amount = next_word(&words);
    if (!kind || !amount)
        return false;
    struct fault *fault = &state->faults[state->fault_count++];
    *fault = (struct fault){.function = function, .gpu = ANY_GPU};
    if (strcmp(kind, "hang") == 0)
        fault->hang_seconds = strtod(amount, NULL);
    else
        fault->error = atoi(amount);
    for (char *word; (word = next_word(&words)) != NULL;) {
        char *text = split(word);
        if (text && strcmp(word, "gpu") == 0)
            fault->gpu = atoi(text);
    }
    return true;
}

/* `event.3 gpu=0 type=8 data=79` */
bool row_event(struct state *state, uint64_t number, char *words) {
    struct event *event = &state->events[state->event_count++];
    *event = (struct event){.number = number, .gi = NO_INSTANCE, .ci = NO_INSTANCE};
    for (char *word; (word = next_word(&words)) != NULL;) {
        char *text = split(word);
        if (!text)
            continue;
        uint64_t given = whole(text);
        if (strcmp(word, "gpu") == 0)
            event->gpu = (int)given;
        else if (strcmp(word, "type") == 0)
            event->type = given;
        else if (strcmp(word, "data") == 0)
            event->data = given;
        else if (strcmp(word, "gi") == 0)
            event->gi = (uint32_t)given;
        else if (strcmp(word, "ci") == 0)
            event->ci = (uint32_t)given;
    }
    return true;
}
