"""Iterate and halt: the carry, the cycles, the halting rules and the slot machine. No file, no task, no optimiser."""
