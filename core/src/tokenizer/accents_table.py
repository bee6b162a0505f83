"""Prints accents_table.rs: python3 accents_table.py > accents_table.rs

Needs the package unicodedata2, version 15.1.0, as unicode_table.py does.
"""

from unicodedata2 import category, normalize

HANGUL = range(0xAC00, 0xD7A4)  # decomposed by arithmetic


def stripped(code: int) -> list[int]:
    """What a code point is decomposed into, nonspacing marks left away."""
    return [ord(part) for part in normalize("NFD", chr(code)) if category(part) != "Mn"]


def table(cells: list[str]) -> str:
    """Cells in lines of at most 120 characters."""
    lines, line = [], "   "
    for cell in cells:
        if len(line) + 1 + len(cell) > 120:
            lines.append(line)
            line = "   "
        line += " " + cell
    return "\n".join([*lines, line])


codes = [code for code in range(0x110000) if code not in range(0xD800, 0xE000)]
marks = [code for code in codes if category(chr(code)) == "Mn"]
runs: list[list[int]] = []
for code in marks:
    if runs and code == runs[-1][1] + 1:
        runs[-1][1] = code
    else:
        runs.append([code, code])
parts = {code: stripped(code) for code in codes if code not in HANGUL}
single = [(code, found[0]) for code, found in parts.items() if len(found) == 1 and found[0] != code]
several = [(code, found) for code, found in parts.items() if len(found) > 1]
if any(len(found) > 3 for _, found in several) or any(not parts[code] and code not in marks for code in parts):
    raise SystemExit("the tables hold up to three parts for each character, and none for marks alone")

print("//! Canonical decompositions of Unicode 15.1 without their nonspacing marks; made by `accents_table.py`.\n")
print("/// First and last of each run of nonspacing marks.")
print("#[rustfmt::skip]\n#[allow(clippy::unreadable_literal)] // for machines to read")
print(f"pub(super) const MARKS: [(u32, u32); {len(runs)}] = [")
print(table([f"(0x{first:X}, 0x{last:X})," for first, last in runs]))
print("];\n")
print(
    "/// Characters that are one other character and marks: their code points in the upper 32 bits, the other's below."
)
print("#[rustfmt::skip]\n#[allow(clippy::unreadable_literal)] // for machines to read")
print(f"pub(super) const BASES: [u64; {len(single)}] = [")
print(table([f"0x{code << 32 | base:X}," for code, base in single]))
print("];\n")
print("/// Characters that are several others; 0 where there is no third.")
print("#[rustfmt::skip]\n#[allow(clippy::unreadable_literal)] // for machines to read")
print(f"pub(super) const SEVERAL: [(u32, [u32; 3]); {len(several)}] = [")
cells = [f"(0x{code:X}, [{', '.join(f'0x{part:X}' for part in (*found, 0)[:3])}])," for code, found in several]
print(table(cells))
print("];")
