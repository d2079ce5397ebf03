"""Files on disk: run folders, weights, resume state, provenance. Written whole or not at all."""
