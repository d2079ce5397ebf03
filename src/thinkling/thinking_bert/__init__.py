"""Thinking-BERT, a masked-language encoder that iterates: architecture, objective, evaluation, use, recipes."""
