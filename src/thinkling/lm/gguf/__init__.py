"""The language model as one GGUF file for llama.cpp: written, loaded back there, and compared."""
