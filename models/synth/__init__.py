"""Draws pages of invented people: one module of papers/ per document, words and numbers in data/ and values.py."""
