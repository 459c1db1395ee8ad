"""Measurements against the peers. `make bench` runs them all; results/ holds what was measured."""
