"""Pipelines, and the command that compiles, runs and submits them."""
