"""Whose memory is left over, and the ways to get it back."""
