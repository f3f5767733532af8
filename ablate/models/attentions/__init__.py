"""Attentions: how tokens mix."""
