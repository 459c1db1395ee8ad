"""What the checks look at beyond the driver and torch: read once, before any check runs."""
