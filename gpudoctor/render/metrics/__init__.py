"""The metrics: what each one is called, means and is computed from, in one table."""
