"""Position embeddings, added at the stem."""
