#!/usr/bin/env python3
"""Pre-tokenizer patterns, duet against Hugging Face's tokenizers (PyPI):

    patterns.py golden FILE                  the patterns below and what the library makes of their texts
    patterns.py known PIECES                 the same patterns on random texts, compared
    patterns.py random PIECES N [SEED]       N random patterns on random texts, compared
    patterns.py sets PIECES                  members of classes and properties, compared

PIECES is the program build/tests/pattern_pieces. Needs the Python package tokenizers. The library panics on some searches ("retry limit");
such a text counts for nothing."""
import collections
import json
import random
import re
import subprocess
import sys
import unicodedata

from tokenizers import Regex, pre_tokenizers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
WILD = [  # of tokenizers that people use
    GPT2,
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[\r\n]",
    r"\s?\p{L}+",
    r"\s?\p{P}+",
    "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"\p{N}{1,3}",
    r" ?[^(\s|[.,!?…。，、।۔،])]+",
    r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    r"[0-9][0-9][0-9]",
    r"\d{1,3}(?=(?:\d{3})*\b)",
    r"(?=(\d{3})+(?!\d))",
    r"[\p{P}\$\+<=>\^~\|]+",
    r"[\p{Han}]+|[\p{Hiragana}]+|[\p{Katakana}]+",
    r"[\p{Han}]+|(?i:'s|'t)|[^\r\n\p{L}\p{N}]?[\p{L}&&[^\p{Han}]]+(?i:'s|'t)?|\p{N}{1,3}",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+",
    r"\w+|[^\w\s]+",
    r"\s+",
    r"\b\w+\b",
]
DIFFER = [  # what PCRE2 reads otherwise, or used to be taken otherwise
    r"\h", r"\h+", r"[\h]+", r"\H+", r"[a-z&&[^aeiou]]+", r"[^a-z&&[^aeiou]]+", r"[[a-c]&&[b-d]&&b]", r"[a[bc]d]+", r"[a[^bc]]+", r"[\w&&[^\d_]]+",
    r"[0-9]{2,3}+", r"a{2,3}+", r"a{2}+", r"a{2}?b", r"a{2,3}?", r"a{,2}", r"a{2}{2}", r"a{,}", r"a{,2}?b", r"^", r"^a", r"$", r"a$", r"^\w+$", r"\A\w", r"\w\Z", r"\w\z",
    r"(?m).+", r".+", r"(?m:a.b)|c.d", r"[[:alpha:]]+", r"[[:^alpha:]]+", r"[[:punct:]]+", r"\p{Punct}+", r"[[:word:]]+", r"[[:upper:]][[:lower:]]*", r"[[:space:]]", r"[[:xdigit:]]+",
    r"\w+", r"\W+", r"[\w]+", r"[^\W\d_]+", r"\bx", r"\Bx", r"\b", r"\d+", r"\s", r"\S+", r"\R", r"\N+", r"\O+", r"a\Kb", r"\p{^L}+", r"\P{^L}+", r"[\p{^L}]+", r"\p{Han}+",
    r"\p{Hani}", r"\p{uppercase letter}", r"\p{Emoji}", r"\x{e9}", r"\u00e9", r"\x41\101\o{101}", r"\e|\a|\v|\f", r"a(?i)b|c", r"(?:a(?i)b|c)d",
    r"(?i)s", r"(?i)[k]+", r"(?i:\p{Lu})+", r"(?x) a b # a comment", r"a(?#comment)b", r"[]a]+", r"[^]a]+", r"[a-c-e]+", r"[--/]", r"[-a]+", r"[a&]+", r"(?<=a)b|(?<!a)c",
    r"(?<n>a)\k<n>", r"(a|b)\1", r"(?>a+)b", r"\Ga", r"{", r"a{x}", r"x*", r"(|a)", r"[\]\[\-]+", r"[\0-\x{1f}]", r"\cA",
]
TEXTS = [
    "Hello world's   DON'T it'LL\r\n\n  12345 x2\u00b2 \u0663\u0664",
    "e\u0301x \u6c49\u5b57\u3042\u30a2 \u20ac5.00 caf\u00e9_1 \u2167 \u24d0\n",
    "aab\nabc aXB aC cab\u017f K\u212ak\u00a0\u2028b\u180ec",
    "0xFf 120g {a{x} a,b [a-c] -./ a&b ]a[ aaaaaaa\tA\u00e9\U0001f600",
    "",
    "\n\na\n",
]


def real(pattern, texts, behavior):
    try:
        split = pre_tokenizers.Split(Regex(pattern), behavior)
    except Exception as why:
        return {"refused": str(why)}
    pieces = []
    for text in texts:
        try:
            pieces.append([p for p, _ in split.pre_tokenize_str(text)])
        except BaseException:  # a panic
            pieces.append(None)
    return {"pieces": pieces}


class Duet:
    def __init__(self, program):
        self.run = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, pattern, texts, behavior):
        self.run.stdin.write(json.dumps({"pattern": pattern, "behavior": behavior, "texts": texts}) + "\n")
        self.run.stdin.flush()
        return json.loads(self.run.stdout.readline())


CHARS = list("aabbcsStTkK12 .-_'\n") + list("\r\t\u00e9\u00c9\u00df\u017f\u0301\u6c49\u3042\u0663\u00b2\u2167\u24d0\u2028\u00a0\u180e\u212a\U0001f600\ufb00\ufb06")
LITERALS = list("abcstk12 -',&!:=<_") + ["\u00e9", "\u6c49", r"\.", r"\-", r"\n", r"\t", r"\x41", r"\x{e9}", r"\u0061", r"\x20"]
SETS = [r"\w", r"\d", r"\s", r"\h", r"\W", r"\D", r"\S", r"\H", r"\p{L}", r"\p{N}", r"\P{L}", r"\p{^N}", r"\p{Lu}", r"\p{M}", r"\p{Han}", r"\p{P}", r"\p{Alpha}"]
ANCHORS = ["^", "$", r"\b", r"\B", r"\A", r"\Z", r"\z", r"\G", r"\K"]
OPTIONS = ["(?i)", "(?m)", "(?-i)", "(?x)", "(?im)"]


class Maker:
    """Random patterns and texts."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def some(self, most, make, between=""):
        return between.join(make() for _ in range(self.r.randint(1, most)))

    def item(self, depth):
        k = self.r.randrange(10)
        if k < 4:
            return self.r.choice(list("abcstk12_'. \r") + ["\u00e9", r"\n", r"\]", r"\-", "\u6c49", r"\x41"])
        if k < 6:
            return self.r.choice(["a-c", "0-9", "a-z", "A-Z", "\u00e0-\u00ff", "\u4e00-\u9fa5", r"\x{61}-\x{66}"])
        if k < 8:
            return self.r.choice(SETS)
        if k == 8:
            return self.r.choice(["[:alpha:]", "[:digit:]", "[:^space:]", "[:punct:]", "[:upper:]"])
        return self.klass(depth + 1) if depth < 2 else "a"

    def klass(self, depth=0):
        s = "[" + ("^" if self.r.random() < .3 else "") + self.some(3, lambda: self.item(depth))
        while self.r.random() < .2:
            s += "&&" + self.some(2, lambda: self.item(depth))
        return s + ("-]" if self.r.random() < .1 else "]")

    def repeat(self):
        if self.r.random() < .55:
            return ""
        q = self.r.choice(["?", "*", "+", "+", "{2}", "{1,3}", "{,2}", "{2,}", "{0,1}", "{,", "{x}"])
        q += self.r.choice(["?", "+", "+"]) if self.r.random() < .25 else ""
        return q + (self.r.choice(["+", "{2}"]) if self.r.random() < .05 else "")

    def atom(self, depth):
        k = self.r.randrange(20)
        if k < 7:
            return self.r.choice(LITERALS) + self.repeat()
        if k < 9:
            return self.r.choice(SETS) + self.repeat()
        if k < 12:
            return self.klass() + self.repeat()
        if k == 12:
            return self.r.choice([".", r"\R", r"\N", r"\O"]) + self.repeat()
        if k == 13:
            return self.r.choice(ANCHORS)
        if depth > 2:
            return "a" + self.repeat()
        if k == 14:
            return self.r.choice(["(?=", "(?!", "(?<=", "(?<!"]) + self.pattern(depth + 1) + ")"
        if k == 15:
            return self.r.choice(OPTIONS)
        head = {16: ["(?i:", "(?m:", "(?x: ", "(?i-m:"], 17: ["(?>"]}.get(k, ["(", "(?:"])
        return self.r.choice(head) + self.pattern(depth + 1) + ")" + self.repeat()

    def pattern(self, depth=0):
        return "|".join(self.some(4, lambda: self.atom(depth)) for _ in range(self.r.choice([1, 1, 1, 2, 3])))

    def texts(self, n):
        return ["".join(self.r.choice(CHARS) for _ in range(self.r.randint(0, 24))) for _ in range(n)] + [
            "".join(self.r.choice("abAB \nkK") for _ in range(12)) for _ in range(n // 3)]


def reason(sentence):
    at = sentence.find(": at byte")
    return re.sub(r"\d+", "N", sentence[at + 2:] if at >= 0 else sentence[sentence.find("not one that"):])[:60]


def compare(pairs, duet, count):
    why = collections.Counter()
    for pattern, texts, behavior in pairs:
        want, have = real(pattern, texts, behavior), duet(pattern, texts, behavior)
        if "refused" in want and "refused" in have:
            count["refused by both"] += 1
        elif "refused" in have:
            count["refused by duet"] += 1
            why[reason(have["refused"])] += 1
        elif "refused" in want:
            count["refused by the library"] += 1
        else:
            wrong = [x for x in zip(texts, want["pieces"], have["pieces"]) if x[1] is not None and x[1] != x[2]]
            count["patterns that differ" if wrong else "patterns that agree"] += 1
            count["texts"] += sum(p is not None for p in want["pieces"])
            if wrong:
                print("DIFFERENT", json.dumps([pattern, behavior, *wrong[0]]))
    print(", ".join(f"{k}: {v}" for k, v in sorted(count.items())))
    for k, v in why.most_common(8):
        print(f"  {v} {k}")
    return 1 if count["patterns that differ"] else 0


CLASSES = [r"\w", r"\W", r"\d", r"\s", r"\S", r"\h", r"[\w]", r"[^\w]", r"[\W]", r"\N", r"\O", ".", "(?m).", r"[\p{L}&&[^\p{Lu}]]", r"[^\p{L}&&[^\p{Lu}]]",
           r"(?i)\p{Lu}", r"(?i)[\d\s]", r"(?i)[\p{P}\p{Nd}]", "(?i)[a-z]", "(?i)[^a-z]", "(?i)[\u00e9\u00e0]", "(?i)\u03c3", "(?i)\u01c6", "(?i)\uab70", "(?i)\u03b9",
           r"(?i)[\p{Han}]", r"\p{^Word}", r"[[:^alpha:]]", r"[^[:punct:]]"]
POSIX = "alnum alpha blank cntrl digit graph lower print punct space upper xdigit word ascii".split()
PROPERTIES = """Alnum Alpha Blank Cntrl Digit Graph Lower Print Punct Space Upper XDigit Word ASCII Any Assigned LC L Ll Lu Lt Lm Lo M Me N Nd Nl No P Pc Pd Ps
    Pe Pi Pf Po S Sc Sk Sm So Z Zs Zl Zp C Cc Cf Cn Co Cs Letter Punctuation Cased_Letter Combining_Mark Han Hani Latin Greek Cyrillic Hiragana Katakana Common
    Inherited Arabic Thai Hangul Devanagari Hebrew Bengali Tamil Georgian Armenian Emoji Emoji_Presentation Emoji_Modifier Emoji_Modifier_Base Emoji_Component
    Extended_Pictographic Alphabetic Uppercase Lowercase White_Space Ideographic ID_Start XID_Start Math Dash Hex_Digit ASCII_Hex_Digit Quotation_Mark Radical
    Unified_Ideograph Variation_Selector Default_Ignorable_Code_Point Pattern_Syntax Regional_Indicator Soft_Dotted Join_Control Bidi_Control""".split()


def sets(duet):
    """Characters that Python's Unicode knows, without the insides of the long runs of Han, Hangul and Tangut."""
    runs = [(0x4e10, 0x9f00), (0xac10, 0xd700), (0x20010, 0x2a600), (0x17000, 0x18700)]
    points = [c for c in range(1, 0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Co", "Cs") and not any(a <= c < b for a, b in runs)]
    texts = ["".join(map(chr, points[k:k + 500])) for k in range(0, len(points), 500)]
    wrong = 0
    patterns = CLASSES + [f"[[:{p}:]]" for p in POSIX] + [r"\p{%s}" % p for p in PROPERTIES]
    for pattern in patterns:
        want, have = real(pattern, texts, "removed"), duet(pattern, texts, "removed")
        if "refused" in want or "refused" in have:
            sys.exit(f"{pattern}: {want.get('refused')}, {have.get('refused')}")
        rest, ours = ([{c for piece in pieces for c in piece} for pieces in x["pieces"]] for x in (want, have))
        differ = sorted(c for a, b in zip(rest, ours) for c in a ^ b)
        wrong += bool(differ)
        if differ:
            print("DIFFERENT", pattern, len(differ), " ".join(f"U+{ord(c):04X}" for c in differ[:8]))
    print(f"Unicode {unicodedata.unidata_version}: {len(points)} characters, {len(patterns)} sets, {wrong} differ")
    return 1 if wrong else 0


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "golden":
        rows = []
        for pattern in WILD + DIFFER:
            pieces = real(pattern, TEXTS, "isolated")["pieces"]
            rows.append({"pattern": pattern, "cases": [[t, p] for t, p in zip(TEXTS, pieces) if p is not None and (len(p) > 1 or not t)]})
        with open(sys.argv[2], "w") as f:
            f.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")
        return 0
    if len(sys.argv) == 3 and sys.argv[1] == "known":
        m = Maker(1)
        pairs = [(p, m.texts(150), b) for p in WILD + DIFFER for b in ("isolated", "removed")]
    elif len(sys.argv) == 3 and sys.argv[1] == "sets":
        return sets(Duet(sys.argv[2]))
    elif len(sys.argv) in (4, 5) and sys.argv[1] == "random":
        m = Maker(int(sys.argv[4]) if len(sys.argv) == 5 else 1)
        pairs = ((m.pattern(), m.texts(30), m.r.choice(["isolated", "removed"])) for _ in range(int(sys.argv[3])))
    else:
        sys.exit(__doc__)
    return compare(pairs, Duet(sys.argv[2]), collections.Counter())


if __name__ == "__main__":
    sys.exit(main())
