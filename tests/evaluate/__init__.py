"""Perplexity, divergence and importance beside llama.cpp's.

`make_golden.py` computes their definitions from llama.cpp's logits, and runs its tools; the tests write the same models
again and compare.
"""
