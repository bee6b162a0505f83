"""Will it fit, and how fast will it be: answers before anything is downloaded or loaded.

`models` says what a model is made of (a file, or a known shape in any format), `devices` what a machine offers;
`memory` and `speed` are the formulas, and `assessment` joins them into a verdict.
docs/planning.md derives the formulas.
"""
