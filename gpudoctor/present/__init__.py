"""A snapshot as cells, lines and remarks: pure, and shared by the terminal UI and the text output."""
