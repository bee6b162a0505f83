"""Grammars in GBNF of the kinds that llama.cpp shows, and texts that they take and do not take."""

from __future__ import annotations

JSON = r"""
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws

array  ::=
  "[" ws (
            value
    ("," ws value)*
  )? "]" ws

string ::=
  "\"" (
    [^"\\\x7F\x00-\x1F] |
    "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) # escapes
  )* "\"" ws

number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws

# Optional space: by convention, applied in this grammar after literal chars when allowed
ws ::= | " " | "\n" [ \t]{0,20}
"""

LIST = r"""
root ::= item+

# Excludes various line break characters
item ::= "- " [^\r\n\x0b\x0c\x85\u2028\u2029]+ "\n"
"""

ARITHMETIC = r"""
root  ::= (expr "=" ws term "\n")+
expr  ::= term ([-+*/] term)*
term  ::= ident | num | "(" ws expr ")" ws
ident ::= [a-z] [a-z0-9_]* ws
num   ::= [0-9]+ ws
ws    ::= [ \t\n]*
"""

CHESS = r"""
# Specifies chess moves as a list in algebraic notation, using PGN conventions

# Force first move to "1. ", then any 1-2 digit number after, relying on model to follow the pattern
root    ::= "1. " move " " move "\n" ([1-9] [0-9]? ". " move " " move "\n")+
move    ::= (pawn | nonpawn | castle) [+#]?

# piece type, optional file/rank, optional capture, dest file & rank
nonpawn ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]

# optional file & capture, dest file & rank, optional promotion
pawn    ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?

castle  ::= "O-O" "-O"?
"""

# grammar, texts that it takes, texts that it does not take
KNOWN: dict[str, tuple[str, list[str], list[str]]] = {
    "json": (
        JSON,
        ['{"a": [1, -2.5e3, "x\\n\\u00e9", {"b": null}], "c": true}', "{}", '{"ö": "€"}\n   '],
        ["[]", '{"a": }', '{"a": 1,}', "{'a': 1}", '{"a": "\n"}', ""],
    ),
    "list": (LIST, ["- one\n", "- one\n- two - three\n"], ["one\n", "- one", "- \n", "- a\u2028b\n"]),
    "arithmetic": (ARITHMETIC, ["x=1\n", "(a +b1) *2 = c\n", "1+1=2\nx=y\n\n"], ["x\n", "1+=2\n", "(1=2\n"]),
    "chess": (
        CHESS,
        ["1. e4 e5\n2. Nf3 Nc6\n", "1. d4 exd5\n10. O-O-O Qxa8+\n11. fxg8=Q# O-O\n"],
        ["1. e4 e5\n", "2. e4 e5\n3. e4 e5\n", "1. e9 e5\n2. e4 e5\n"],
    ),
    "a greedy word": ('root ::= [a-z]+ "b"', ["ab", "bbb"], ["b", "ba"]),
    "a recursion": ('root ::= "a" root "b" | ""', ["", "ab", "aabb"], ["aab", "ba"]),
    "lexemes that begin alike": (
        'root ::= ("a" x "c") | ("ab" x "d")\nx ::= "b" x | "b"',
        ["abc", "abbd", "abbc"],
        ["ab", "abd"],
    ),
    "what follows is taken by what stands before": (
        'root ::= word "-" root | word "b" "!"\nword ::= [a-z]+',
        ["ab!", "abb!", "a-bb!"],
        ["b!", "a-"],
    ),
    "repetitions": ('root ::= "ab"{2} [0-9]{1,3} x{2,}\nx ::= "x"', ["abab1xx", "abab123xxxx"], ["ab1xx", "abab1x"]),
    "no repetition at all": ('root ::= "a"{0} "b"{0,0} "c"', ["c"], ["ac"]),
    "any character": ('root ::= . [^a] "\\"" [\\]\\-x-z]', ['\nb"]', '€€"y', 'ab"-'], ['aa"]', 'ab"w']),
    "escapes": ('root ::= "\\x41\\u00e9\\U0001F600\\t\\\\"', ["Aé😀\t\\"], ["A"]),
    "nothing": ('root ::= ""', [""], ["a"]),
}
