"""What was: recordings to a file."""
