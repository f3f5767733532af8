"""Mixers: how tokens mix."""
