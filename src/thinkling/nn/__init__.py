"""Tensors in, tensors out: layers that know nothing of puzzles, text, files or training."""
