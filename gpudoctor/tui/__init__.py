"""The terminal UI: receives snapshots and paints what changed."""
