"""Normalisations, before each branch and at the end."""
