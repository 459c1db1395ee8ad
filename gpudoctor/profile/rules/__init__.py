"""One file per bottleneck. A rule reads a Profile and says what held the script back, if it did."""
