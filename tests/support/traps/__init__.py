"""Datasets with one trap each, and what is right of them; see ``truth.py`` for the parts."""
