"""Sizes of Thinking-BERT to start from, by their width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from thinkling.thinking_bert.config import ThinkingBertConfig

_MODERNBERT_BASE = ThinkingBertConfig(
    vocab_size=50_368,
    max_length=8192,
    hidden_size=768,
    num_heads=12,
    inner_size=1152,
    low_layers=22,
    L_cycles=1,
    high_level="none",
)

PRESETS: Mapping[str, ThinkingBertConfig] = {
    "128": ThinkingBertConfig(vocab_size=8192, hidden_size=128, num_heads=4, inner_size=256, high_layers=2),
    "256": ThinkingBertConfig(),
    "384": ThinkingBertConfig(hidden_size=384, num_heads=6, inner_size=768, low_layers=6, high_layers=6),
    "512": ThinkingBertConfig(hidden_size=512, num_heads=8, inner_size=1024, low_layers=8, high_layers=8),
    "768": _MODERNBERT_BASE,
    "768-split": replace(
        _MODERNBERT_BASE, low_layers=11, high_layers=11, L_cycles=2, high_level="pooled-windows"
    ),
}
"""`768` is ModernBERT-base (Warner et al. 2024, arXiv 2412.13663) as published; `768-split` shares its 22 layers out to
the two levels."""
