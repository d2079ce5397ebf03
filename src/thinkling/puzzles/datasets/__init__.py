"""Data sets on disk: made, imported and checked, a file for each kind of puzzle."""
