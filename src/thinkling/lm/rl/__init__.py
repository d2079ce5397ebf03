"""Reasoning by reinforcement: completions are drawn, judged by a checkable reward, and made likelier or less likely."""
