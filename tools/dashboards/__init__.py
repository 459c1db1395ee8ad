"""Makes the dashboards: `python -m tools.dashboards`."""
