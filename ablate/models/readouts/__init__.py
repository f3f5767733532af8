"""Readouts: from tokens to one vector an image."""
