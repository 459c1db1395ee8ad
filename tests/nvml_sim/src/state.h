#ifndef GPUDOCTOR_SIM_STATE_H
#define GPUDOCTOR_SIM_STATE_H

#include "sim.h"

/* Takes over `text`; NULL when memory is short. */
struct state *state_parse(char *text);
void state_free(struct state *state);

/* Rows that are lists and not single values; each returns false for a row that it cannot read. */
bool row_process(struct state *state, int gpu, char *words);
bool row_account(struct state *state, int gpu, char *words);
bool row_fault(struct state *state, const char *function, char *words);
bool row_event(struct state *state, uint64_t number, char *words);

#endif
