"""Prints unicode_table.rs: python3 unicode_table.py > unicode_table.rs

Needs the package unicodedata2, version 15.1.0: tokenizers are held to the Unicode version of their reference.
"""

import unicodedata2

BITS = {"L": "LETTER", "N": "NUMBER", "M": "MARK", "P": "PUNCTUATION", "S": "SYMBOL", "C": "CONTROL", "Z": "SPACE"}
VALUES = {"LETTER": 1, "NUMBER": 2, "MARK": 4, "PUNCTUATION": 8, "SYMBOL": 16, "CONTROL": 32, "SPACE": 64}


def bits(code: int) -> int:
    """Class bits of a code point; unassigned ones have none."""
    category = unicodedata2.category(chr(code))
    value = 0 if category == "Cn" else VALUES[BITS[category[0]]]
    return value | (VALUES["SPACE"] if code in range(9, 14) or code == 0x85 else 0)


runs = [(0, bits(0))]
for code in range(1, 0x110000):
    if bits(code) != runs[-1][1]:
        runs.append((code, bits(code)))

print("//! General categories of Unicode 15.1 as runs; made by `unicode_table.py`.\n")
print("/// First code point of each run in the upper 24 bits, its class bits in the lower 8.")
print("#[rustfmt::skip]\n#[allow(clippy::unreadable_literal)] // for machines to read")
print(f"pub(super) const RUNS: [u32; {len(runs)}] = [")
cells = [f"0x{start << 8 | value:X}," for start, value in runs]
line = "   "
for cell in cells:
    if len(line) + 1 + len(cell) > 120:
        print(line)
        line = "   "
    line += " " + cell
print(line)
print("];")
