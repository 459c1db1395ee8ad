"""Screens, and the keys that work in each."""
