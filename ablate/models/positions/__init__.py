"""Positions: what tells the tokens where they lie."""
