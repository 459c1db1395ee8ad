"""Runs by path in the user's interpreter: the standard library alone, in Python 3.9's syntax."""
