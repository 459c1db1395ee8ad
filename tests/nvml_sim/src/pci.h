#ifndef GPUDOCTOR_SIM_PCI_H
#define GPUDOCTOR_SIM_PCI_H

#include "sim.h"

struct pci_info {
    char legacy[16];
    uint32_t domain, bus, device, device_id, subsystem_id;
    char bus_id[32];
};
_Static_assert(sizeof(struct pci_info) == 68, "nvmlPciInfo_t");

/* Reads `00000000:1B:00.0`, `0000:1b:00` or `1b:00.0`. */
bool pci_parse(const char *text, struct pci_info *info);

#endif
