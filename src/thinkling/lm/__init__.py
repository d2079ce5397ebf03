"""The native small language model: from raw text to answers with their reasoning, here and in llama.cpp."""
