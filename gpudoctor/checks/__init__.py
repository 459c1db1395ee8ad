"""The checks: one function is one check, a pure function of what was gathered before it runs."""
