/* What the driver says of itself and of the machine. */
#include <stdio.h>
#include <string.h>

#include "sim.h"

API const char *nvmlErrorString(int code) {
    static const struct {
        int code;
        const char *text;
    } texts[] = {
        {0, "Success"},
        {1, "Uninitialized"},
        {2, "Invalid Argument"},
        {3, "Not Supported"},
        {4, "Insufficient Permissions"},
        {5, "Already Initialized"},
        {6, "Not Found"},
        {7, "Insufficient Size"},
        {8, "Insufficient External Power"},
        {9, "Driver Not Loaded"},
        {10, "Timeout"},
        {11, "Interrupt Request Issue"},
        {12, "NVML Shared Library Not Found"},
        {13, "Function Not Found"},
        {14, "Corrupted infoROM"},
        {15, "GPU is lost"},
        {16, "GPU requires restart"},
        {17, "The operating system has blocked the request."},
        {18, "RM has detected an NVML/RM version mismatch."},
        {19, "In use"},
        {20, "Insufficient memory"},
        {21, "No data"},
        {22, "The requested vgpu operation is not available on target device, becasue ECC is enabled"},
        {23, "Ran out of critical resources, other than memory"},
        {24, "Requested frequency is not supported"},
        {25, "The provided version is invalid/unsupported"},
        {26, "The requested functionality has been deprecated"},
        {27, "The system is not ready for the request"},
        {28, "No GPUs were found"},
        {29, "Resource not in correct state"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].code == code)
            return texts[i].text;
    return "Unknown Error";
}

#define SYSTEM_TEXT(function, key)                                                                 \
    API int function(char *out, uint32_t length) {                                                 \
        OPEN_SYSTEM(0);                                                                            \
        return read_text(&call, key, out, length);                                                 \
    }
#define SYSTEM_I32(function, key)                                                                  \
    API int function(int32_t *out) {                                                               \
        OPEN_SYSTEM(0);                                                                            \
        return read_i32(&call, key, out);                                                          \
    }

SYSTEM_TEXT(nvmlSystemGetDriverVersion, "driver.version")
SYSTEM_TEXT(nvmlSystemGetNVMLVersion, "driver.nvml_version")
SYSTEM_I32(nvmlSystemGetCudaDriverVersion, "driver.cuda")
SYSTEM_I32(nvmlSystemGetCudaDriverVersion_v2, "driver.cuda")

API int nvmlSystemGetProcessName(uint32_t pid, char *name, uint32_t length) {
    OPEN_SYSTEM(0);
    REQUIRE(name && length);
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%u/cmdline", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return NOT_FOUND;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    if (strlen(text) >= length)
        return INSUFFICIENT_SIZE;
    memcpy(name, text, strlen(text) + 1);
    return SUCCESS;
}

API int nvmlUnitGetCount(uint32_t *count) {
    OPEN_SYSTEM(0);
    REQUIRE(count);
    *count = 0;
    return SUCCESS;
}
