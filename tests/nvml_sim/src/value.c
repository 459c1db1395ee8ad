/* Values of the state file: a number, a ramp `base+rate/s`, a wave `low~high/seconds`, an error `!code`. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

static bool parse_number(struct value *value, const char *text, char **end) {
    const char *digits = text[0] == '-' ? text + 1 : text;
    if (digits[0] < '0' || digits[0] > '9')
        return false;
    int base = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X') ? 16 : 10;
    value->negative = text[0] == '-';
    value->whole = strtoull(digits, end, base);
    value->real = (double)value->whole;
    if (**end == '.' || (base == 10 && (**end == 'e' || **end == 'E'))) {
        value->real = strtod(digits, end);
        value->whole = (uint64_t)value->real;
    }
    if (value->negative) {
        value->real = -value->real;
        value->whole = (uint64_t)-(int64_t)value->whole;
    }
    return true;
}

void value_parse(struct value *value, const char *text) {
    *value = (struct value){.kind = TEXT, .text = text};
    if (text[0] == '!') {
        value->kind = ERROR;
        value->whole = strtoull(text + 1, NULL, 10);
        return;
    }
    char *end = NULL;
    if (!parse_number(value, text, &end))
        return;
    if (*end == '\0') {
        value->kind = NUMBER;
    } else if (*end == '+') {
        value->rate = strtod(end + 1, &end);
        if (strcmp(end, "/s") == 0)
            value->kind = RAMP;
    } else if (*end == '~') {
        value->rate = strtod(end + 1, &end);
        if (*end == '/') {
            value->period = strtod(end + 1, &end);
            if (strcmp(end, "s") == 0 && value->period > 0)
                value->kind = WAVE;
        }
    }
}

struct number value_at(const struct value *value, double elapsed) {
    struct number out = {value->whole, value->real};
    if (value->kind == RAMP) {
        double grown = value->rate * elapsed;
        out.u = value->whole + (uint64_t)(int64_t)grown;
        out.d = value->real + grown;
    } else if (value->kind == WAVE) {
        double phase = fmod(elapsed, value->period) / value->period;
        double share = phase < 0.5 ? 2 * phase : 2 - 2 * phase;
        out.d = value->real + share * (value->rate - value->real);
        out.u = (uint64_t)(int64_t)llround(out.d);
    }
    return out;
}
