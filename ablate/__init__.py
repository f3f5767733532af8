"""ablate: which parts of a vision model or its recipe matter, by how much, and how sure are we."""

__version__ = "0.1.0"
