/* A libcuda.so.1 that answers from variables: FAKE_CUINIT (a CUresult), FAKE_DEVICES (a count),
   FAKE_MIG (any value: the newer UUID call answers for an instance), FAKE_HANG (cuInit never returns). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int number(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

int cuInit(unsigned flags) {
    (void)flags;
    while (getenv("FAKE_HANG")) sleep(1);
    return number("FAKE_CUINIT", 0);
}
int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuDeviceGetCount(int *count) { *count = number("FAKE_DEVICES", 2); return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *text, int size, int device) {
    snprintf(text, size, "Fake GPU %d", device);
    return 0;
}
int cuDeviceGetPCIBusId(char *text, int size, int device) {
    snprintf(text, size, "0000:%02X:00.0", 0x10 + device);
    return 0;
}
int cuDeviceTotalMem_v2(size_t *total, int device) { (void)device; *total = 1ull << 34; return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    *value = attribute == 75 ? 9 : attribute == 76 ? 0 : -1;
    return 0;
}
int cuDeviceGetUuid(unsigned char *raw, int device) { memset(raw, 0xA0 + device, 16); return 0; }
int cuDeviceGetUuid_v2(unsigned char *raw, int device) {
    memset(raw, (getenv("FAKE_MIG") ? 0xB0 : 0xA0) + device, 16);
    return 0;
}
int cuGetErrorName(int code, const char **text) {
    *text = code == 100 ? "CUDA_ERROR_NO_DEVICE" : "CUDA_ERROR_UNKNOWN";
    return 0;
}
