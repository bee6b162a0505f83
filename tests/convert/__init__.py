"""Converted model folders beside `transformers`, which computed the figures that are kept here.

`make_golden.py` saves small random models with transformers and stores what it computes; the tests write the same
folders again, without it, convert them and compare.
"""
