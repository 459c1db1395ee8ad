"""The command line: one file per command; only what a command needs is imported."""
