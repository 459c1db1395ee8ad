"""Widgets that paint values line by line."""
