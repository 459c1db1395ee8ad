"""Measurements against the peers. `make bench` runs them all; results/ holds what was measured."""

import os

# Else what a running daemon of this machine has seen would be timed in place of the simulated driver.
os.environ["GPUDOCTOR_SOCKET"] = "off"
