"""What image files say about themselves, without decoding them: one small module for each format.

Nothing here trusts a byte: every offset is checked against the size of the file, every walk has a greatest number of
steps, and nothing is allocated by what a header says. ``read.read_header`` is the way in.
"""
