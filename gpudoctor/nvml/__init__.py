"""NVML behind one Protocol: the real library, or a recorded or scripted machine."""
