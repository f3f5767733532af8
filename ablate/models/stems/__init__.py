"""Stems: from an image to patch tokens."""
