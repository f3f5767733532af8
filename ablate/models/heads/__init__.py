"""Heads: from that vector to logits."""
