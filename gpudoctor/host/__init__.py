"""The operating system's side: processes, the machine, interpreters."""
