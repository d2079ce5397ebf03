"""Latent-space reasoners (HRM, TRM) on puzzles: architecture, objective, evaluation, solving, recipes."""
