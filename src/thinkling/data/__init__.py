"""Bytes to batches: reading, sampling and writing examples. No model, no task rule."""
