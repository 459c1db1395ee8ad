"""Reads the machine at its own pace and publishes immutable snapshots."""
