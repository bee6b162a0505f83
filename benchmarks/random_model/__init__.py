"""GGUF files with random weights: small ones for the conformance tests, full-sized ones for the benchmarks.

Development only (needs `numpy` and `gguf`). A file is a pure function of (shape, recipe, seed): weights are made from
the raw output of PCG64 with integer and correctly rounded float32 arithmetic alone, so that every machine and
every numpy writes the same bytes.
"""
