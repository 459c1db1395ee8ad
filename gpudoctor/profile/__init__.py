"""Runs the user's script under the runner and turns its session into a Profile with findings."""
