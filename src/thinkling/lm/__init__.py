"""The native small language model: architecture, pre-training, fine-tuning with a chain of thought, generation, export."""
