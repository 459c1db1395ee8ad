"""Measures settings against each other in fresh processes of the target interpreter."""
