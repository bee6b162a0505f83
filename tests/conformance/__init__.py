"""Edgewise's logits beside llama.cpp's, on small random models of every architecture in every format.

`make_golden.py` runs llama.cpp and stores what it computes; the tests write the same models again and compare.
"""
