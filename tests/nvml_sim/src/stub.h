/* Functions that exist in the real library and answer the same for every machine here. */
#ifndef GPUDOCTOR_SIM_STUB_H
#define GPUDOCTOR_SIM_STUB_H

#include "sim.h"

/* A fault of one GPU applies when the first argument turns out to be that GPU's handle. */
static inline int stub_gpu(const void *first) {
    return handle_valid(first) ? ((const struct handle *)first)->gpu : ANY_GPU;
}

#define STUB(function, code)                                                                       \
    API int function(const void *first);                                                           \
    API int function(const void *first) {                                                          \
        OPEN_GPU(stub_gpu(first));                                                                 \
        return code;                                                                               \
    }

#endif
