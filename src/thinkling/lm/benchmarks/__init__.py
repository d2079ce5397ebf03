"""Named benchmarks for the language model: what is asked, who judges, and what the answers say about the model.

A benchmark turns rows of its published files into items, finds the answer in what a model wrote, and judges it; it
knows nothing of models. `evaluate` asks and counts, `estimates` holds the statistics.
"""
