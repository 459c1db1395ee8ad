/* PCIe and NVLink. */
#include <stdio.h>
#include <string.h>

#include "pci.h"

DEVICE_U32(nvmlDeviceGetCurrPcieLinkGeneration, "pcie.generation")
DEVICE_U32(nvmlDeviceGetMaxPcieLinkGeneration, "pcie.generation.max")
DEVICE_U32(nvmlDeviceGetGpuMaxPcieLinkGeneration, "pcie.generation.gpu_max")
DEVICE_U32(nvmlDeviceGetCurrPcieLinkWidth, "pcie.width")
DEVICE_U32(nvmlDeviceGetMaxPcieLinkWidth, "pcie.width.max")
DEVICE_U32(nvmlDeviceGetPcieReplayCounter, "pcie.replays")
DEVICE_U32(nvmlDeviceGetPcieSpeed, "pcie.speed_mbps")
DEVICE_U32(nvmlDeviceGetPcieLinkMaxSpeed, "pcie.speed.max")

API int nvmlDeviceGetPcieThroughput(device_t device, uint32_t counter, uint32_t *out) {
    OPEN_DEVICE(device);
    REQUIRE(counter <= 1);
    return read_u32(&call, counter == 0 ? "pcie.tx_kib" : "pcie.rx_kib", out);
}

static int read_link_u32(const struct call *call, uint32_t link, const char *name, uint32_t *out) {
    uint64_t wide = 0;
    REQUIRE(out);
    int error = read_link_u64(call, link, name, &wide);
    if (error == SUCCESS)
        *out = (uint32_t)wide;
    return error;
}

API int nvmlDeviceGetNvLinkState(device_t device, uint32_t link, uint32_t *out) {
    OPEN_DEVICE(device);
    return read_link_u32(&call, link, "state", out);
}

API int nvmlDeviceGetNvLinkVersion(device_t device, uint32_t link, uint32_t *out) {
    OPEN_DEVICE(device);
    return read_link_u32(&call, link, "version", out);
}

API int nvmlDeviceGetNvLinkCapability(device_t device, uint32_t link, uint32_t capability,
                                      uint32_t *out) {
    uint64_t mask = 0;
    OPEN_DEVICE(device);
    REQUIRE(out && capability < 6);
    int error = read_link_u64(&call, link, "capabilities", &mask);
    if (error == SUCCESS)
        *out = (uint32_t)(mask >> capability & 1);
    return error;
}

API int nvmlDeviceGetNvLinkErrorCounter(device_t device, uint32_t link, uint32_t counter,
                                        uint64_t *out) {
    static const char *const names[] = {"replay", "recovery", "crc_flit", "crc_data", "ecc_data"};
    OPEN_DEVICE(device);
    REQUIRE(counter < sizeof names / sizeof *names);
    return read_link_u64(&call, link, names[counter], out);
}

API int nvmlDeviceGetNvLinkRemoteDeviceType(device_t device, uint32_t link, uint32_t *out) {
    OPEN_DEVICE(device);
    return read_link_u32(&call, link, "remote_type", out);
}

static int read_remote(const struct call *call, uint32_t link, struct pci_info *out) {
    char key[48];
    REQUIRE(out);
    if (link >= read_or(call, "nvlink.count", 0))
        return NOT_SUPPORTED;
    snprintf(key, sizeof key, "nvlink.%u.remote", link);
    const char *text = text_or(call, key, text_or(call, "nvlink.remote", NULL));
    return text && pci_parse(text, out) ? SUCCESS : NOT_SUPPORTED;
}

API int nvmlDeviceGetNvLinkRemotePciInfo(device_t device, uint32_t link, struct pci_info *out) {
    OPEN_DEVICE(device);
    return read_remote(&call, link, out);
}

API int nvmlDeviceGetNvLinkRemotePciInfo_v2(device_t device, uint32_t link, struct pci_info *out) {
    OPEN_DEVICE(device);
    return read_remote(&call, link, out);
}

API int nvmlDeviceGetC2cModeInfoV(device_t device, uint32_t *enabled) {
    OPEN_DEVICE(device);
    return read_u32(&call, "c2c.enabled", enabled);
}
