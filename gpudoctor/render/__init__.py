"""Turns values into text, JSON, HTML and Prometheus metrics; never touches the machine."""
