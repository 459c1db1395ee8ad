/* nvmlDeviceGetFieldValues: a number for each field id, with its own type and its own error. */
#include <stdio.h>

#include "sim.h"

enum field_type { DOUBLE, UINT, ULONG, ULONGLONG, SLONGLONG, SINT };

struct field_value {
    uint32_t id, scope;
    int64_t timestamp, latency_us;
    uint32_t type;
    int error;
    union {
        double real;
        uint32_t narrow;
        int32_t signed_narrow;
        uint64_t wide;
    } value;
};
_Static_assert(sizeof(struct field_value) == 40, "nvmlFieldValue_t");

/* PLAIN reads one key; LINK reads link `scope` (all of them: the sum); TOTAL always sums. */
enum field_kind { PLAIN, LINK, TOTAL };

static const struct field {
    uint32_t id;
    enum field_type type;
    enum field_kind kind;
    const char *key;
} fields[] = {
    {1, UINT, PLAIN, "ecc.current"},
    {2, UINT, PLAIN, "ecc.pending"},
    {3, ULONGLONG, PLAIN, "ecc.corrected.volatile"},
    {4, ULONGLONG, PLAIN, "ecc.uncorrected.volatile"},
    {5, ULONGLONG, PLAIN, "ecc.corrected.aggregate"},
    {6, ULONGLONG, PLAIN, "ecc.uncorrected.aggregate"},
    {29, UINT, PLAIN, "retired.single_bit"},
    {30, UINT, PLAIN, "retired.double_bit"},
    {31, UINT, PLAIN, "retired.pending"},
    {38, ULONGLONG, TOTAL, "crc_flit"},
    {45, ULONGLONG, TOTAL, "crc_data"},
    {52, ULONGLONG, TOTAL, "replay"},
    {59, ULONGLONG, TOTAL, "recovery"},
    {74, ULONGLONG, PLAIN, "violation.0"},
    {75, ULONGLONG, PLAIN, "violation.1"},
    {76, ULONGLONG, PLAIN, "violation.2"},
    {77, ULONGLONG, PLAIN, "violation.3"},
    {78, ULONGLONG, PLAIN, "violation.4"},
    {79, ULONGLONG, PLAIN, "violation.5"},
    {80, ULONGLONG, PLAIN, "violation.10"},
    {81, ULONGLONG, PLAIN, "violation.11"},
    {82, UINT, PLAIN, "temperature.memory"},
    {83, ULONGLONG, PLAIN, "energy_mj"},
    {90, UINT, PLAIN, "nvlink.speed_mbps"},
    {91, UINT, PLAIN, "nvlink.count"},
    {92, UINT, PLAIN, "retired.pending.single_bit"},
    {93, UINT, PLAIN, "retired.pending.double_bit"},
    {94, UINT, PLAIN, "pcie.replays"},
    {95, UINT, PLAIN, "pcie.replay_rollovers"},
    {138, ULONGLONG, LINK, "tx_kib"},
    {139, ULONGLONG, LINK, "rx_kib"},
    {140, ULONGLONG, LINK, "raw_tx_kib"},
    {141, ULONGLONG, LINK, "raw_rx_kib"},
    {142, UINT, PLAIN, "rows.corrected"},
    {143, UINT, PLAIN, "rows.uncorrected"},
    {144, UINT, PLAIN, "rows.pending"},
    {145, UINT, PLAIN, "rows.failure"},
    {146, UINT, LINK, "remote_link"},
    {147, UINT, PLAIN, "nvlink.switch_count"},
    {160, ULONGLONG, TOTAL, "ecc_data"},
    {161, ULONGLONG, LINK, "replay"},
    {162, ULONGLONG, LINK, "recovery"},
    {163, ULONGLONG, LINK, "crc"},
    {164, UINT, LINK, "speed_mbps"},
    {165, UINT, LINK, "state"},
    {166, UINT, LINK, "version"},
    {185, UINT, PLAIN, "power.average_mw"},
    {186, UINT, PLAIN, "power.usage_mw"},
    {187, UINT, PLAIN, "power.min_mw"},
    {188, UINT, PLAIN, "power.max_mw"},
    {189, UINT, PLAIN, "power.default_mw"},
    {190, UINT, PLAIN, "power.enforced_mw"},
    {191, ULONGLONG, PLAIN, "energy_mj"},
    {192, UINT, PLAIN, "power.limit_mw"},
    {193, SINT, PLAIN, "temperature.shutdown_tlimit"},
    {194, SINT, PLAIN, "temperature.slowdown_tlimit"},
    {195, SINT, PLAIN, "temperature.memory_max_tlimit"},
    {196, SINT, PLAIN, "temperature.gpu_max_tlimit"},
    {197, ULONGLONG, PLAIN, "pcie.tx_bytes"},
    {198, ULONGLONG, PLAIN, "pcie.rx_bytes"},
    {202, ULONGLONG, LINK, "tx_bytes"},
    {204, ULONGLONG, LINK, "rx_bytes"},
    {230, UINT, PLAIN, "recovery_action"},
    {269, ULONGLONG, PLAIN, "violation.sw_thermal"},
    {270, ULONGLONG, PLAIN, "violation.hw_thermal"},
    {271, ULONGLONG, PLAIN, "violation.hw_power_brake"},
};

static int sum_links(const struct call *call, const char *name, uint64_t *out) {
    uint64_t links = read_or(call, "nvlink.count", 0), one = 0, sum = 0;
    if (links == 0)
        return NOT_SUPPORTED;
    for (uint32_t link = 0; link < links; link++) {
        int error = read_link_u64(call, link, name, &one);
        if (error != SUCCESS)
            return error;
        sum += one;
    }
    *out = sum;
    return SUCCESS;
}

static int read_known(const struct call *call, const struct field *field, uint32_t scope,
                      struct number *out) {
    if (field->kind == TOTAL || (field->kind == LINK && scope == ALL_LINKS)) {
        int error = sum_links(call, field->key, &out->u);
        out->d = (double)out->u;
        return error;
    }
    if (field->kind == LINK) {
        int error = read_link_u64(call, scope, field->key, &out->u);
        out->d = (double)out->u;
        return error;
    }
    /* Power and energy of module and memory (scopes 1 and 2) have no key but `field.ID.SCOPE`. */
    if (field->id >= 185 && field->id <= 192 && scope != 0)
        return NOT_SUPPORTED;
    return read_number(call, field->key, out);
}

static const struct field *find(uint32_t id) {
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].id == id)
            return &fields[i];
    return NULL;
}

/* `field.ID.SCOPE` and `field.ID` come before the key that the field usually stands for. */
static int read_field(const struct call *call, const struct field *field, uint32_t id,
                      uint32_t scope, struct number *out) {
    char key[48];
    snprintf(key, sizeof key, "field.%u.%u", id, scope);
    int error = read_number(call, key, out);
    if (error != NOT_SUPPORTED)
        return error;
    if (scope == 0 || !field || field->kind != PLAIN) {
        snprintf(key, sizeof key, "field.%u", id);
        error = read_number(call, key, out);
        if (error != NOT_SUPPORTED)
            return error;
    }
    return field ? read_known(call, field, scope, out) : NOT_SUPPORTED;
}

static void set(struct field_value *value, enum field_type type, struct number number) {
    value->type = type;
    value->value.wide = 0;
    if (type == DOUBLE)
        value->value.real = number.d;
    else if (type == UINT)
        value->value.narrow = (uint32_t)number.u;
    else if (type == SINT)
        value->value.signed_narrow = (int32_t)number.u;
    else
        value->value.wide = number.u;
}

API int nvmlDeviceGetFieldValues(device_t device, int32_t count, struct field_value *values) {
    OPEN_DEVICE(device);
    REQUIRE(values && count > 0);
    for (int32_t i = 0; i < count; i++) {
        const struct field *field = find(values[i].id);
        struct number number = {0, 0};
        values[i].timestamp = (int64_t)now_microseconds();
        values[i].latency_us = 1;
        values[i].error = read_field(&call, field, values[i].id, values[i].scope, &number);
        if (values[i].error == SUCCESS)
            set(&values[i], field ? field->type : ULONGLONG, number);
    }
    return SUCCESS;
}
