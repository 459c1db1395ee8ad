/* Reading one key of the device (or MIG instance) that a call is about. */
#include <stdio.h>
#include <string.h>

#include "sim.h"

static int look(const struct call *call, const char *key, const struct value **found) {
    *found = state_find(call->state, call->prefix, key);
    if (!*found)
        return NOT_SUPPORTED;
    return (*found)->kind == ERROR ? (int)(*found)->whole : SUCCESS;
}

int read_number(const struct call *call, const char *key, struct number *out) {
    const struct value *value;
    int error = look(call, key, &value);
    if (error == SUCCESS)
        *out = value_at(value, call->elapsed);
    return error;
}

int read_u64(const struct call *call, const char *key, uint64_t *out) {
    struct number number;
    REQUIRE(out);
    int error = read_number(call, key, &number);
    if (error == SUCCESS)
        *out = number.u;
    return error;
}

int read_u32(const struct call *call, const char *key, uint32_t *out) {
    uint64_t wide = 0;
    REQUIRE(out);
    int error = read_u64(call, key, &wide);
    if (error == SUCCESS)
        *out = (uint32_t)wide;
    return error;
}

int read_i32(const struct call *call, const char *key, int32_t *out) {
    return read_u32(call, key, (uint32_t *)out);
}

int read_text(const struct call *call, const char *key, char *out, uint32_t length) {
    const struct value *value;
    REQUIRE(out);
    int error = look(call, key, &value);
    if (error != SUCCESS)
        return error;
    if (strlen(value->text) >= length)
        return INSUFFICIENT_SIZE;
    memcpy(out, value->text, strlen(value->text) + 1);
    return SUCCESS;
}

uint64_t read_or(const struct call *call, const char *key, uint64_t fallback) {
    uint64_t number = 0;
    return read_u64(call, key, &number) == SUCCESS ? number : fallback;
}

const char *text_or(const struct call *call, const char *key, const char *fallback) {
    const struct value *value;
    return look(call, key, &value) == SUCCESS ? value->text : fallback;
}

/* A link's own key `nvlink.3.name` comes before the key of all links, `nvlink.name`. */
int read_link_u64(const struct call *call, uint32_t link, const char *name, uint64_t *out) {
    char key[64];
    REQUIRE(out);
    if (link >= read_or(call, "nvlink.count", 0))
        return NOT_SUPPORTED;
    snprintf(key, sizeof key, "nvlink.%u.%s", link, name);
    int error = read_u64(call, key, out);
    if (error != NOT_SUPPORTED)
        return error;
    snprintf(key, sizeof key, "nvlink.%s", name);
    return read_u64(call, key, out);
}
