"""Random texts of many scripts, as people and programs send them: the same for the same seed."""
import random
import unicodedata

SCRIPTS = {  # ranges that are full since Unicode 10 at the latest, but for what is left out below
    "latin": [(0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F), (0x1E00, 0x1EFF)],
    "greek": [(0x370, 0x3FF), (0x1F00, 0x1FFE)],
    "cyrillic": [(0x400, 0x52F)],
    "armenian": [(0x531, 0x556), (0x561, 0x587)],
    "hebrew": [(0x591, 0x5F4)],
    "arabic": [(0x600, 0x6FF), (0x750, 0x77F), (0xFB50, 0xFDFB), (0xFE70, 0xFEFC)],
    "devanagari": [(0x900, 0x97F)],
    "bengali": [(0x980, 0x9FD)],
    "tamil": [(0xB82, 0xBFA)],
    "thai": [(0xE01, 0xE5B)],
    "tibetan": [(0xF00, 0xFDA)],
    "georgian": [(0x10A0, 0x10FC)],
    "jamo": [(0x1100, 0x11FF)],
    "khmer": [(0x1780, 0x17F9)],
    "kana": [(0x3041, 0x30FF), (0xFF66, 0xFF9F)],
    "han": [(0x4E00, 0x9FD5), (0x3400, 0x4DB5), (0xF900, 0xFAD9), (0x20000, 0x2A6D6)],
    "hangul": [(0xAC00, 0xD7A3)],
    "wide": [(0xFF01, 0xFF5E)],
    "marks": [(0x300, 0x36F), (0x483, 0x487), (0x20D0, 0x20F0), (0xFE20, 0xFE2F)],
    "symbols": [(0x2010, 0x2064), (0x20A0, 0x20BF), (0x2100, 0x218B), (0x2190, 0x23FF),
                (0x2500, 0x27BF), (0x3000, 0x303F)],
    "emoji": [(0x1F300, 0x1F64F), (0x1F680, 0x1F6C5), (0x1F1E6, 0x1F1FF)],
    "letterlike": [(0x1D400, 0x1D7FF), (0x2460, 0x24FF), (0x3200, 0x33FF)],
    "digits": [(0x30, 0x39), (0x660, 0x669), (0x966, 0x96F), (0xFF10, 0xFF19), (0xB2, 0xB3),
               (0xBC, 0xBE), (0x2150, 0x2189)],
    "controls": [(0x1, 0x8), (0xE, 0x1F), (0x7F, 0xA0), (0x200B, 0x200F), (0x202A, 0x202E),
                 (0xAD, 0xAD), (0xFEFF, 0xFEFF), (0xE000, 0xE0FF), (0xFFFD, 0xFFFD)],
}
SPACES = [" ", " ", " ", "  ", "    ", "\t", "\n", "\n\n", "\r\n", " \n", "\n ", "\u00a0",
          "\u3000", "\u2003", "\u2028", "\u0085", "\x0b", "\x0c", "\r"]
PHRASES = [
    "don't", "I'LL", "we've", "it's", "'S", "'\u017f", "Ha\u0300 No\u0323\u0302i", "na\u00efve",
    "\u1100\u1161\u11a8", "1,234,567.89", "12345678", "x1y22z333", "3.14e-10", "10\u00b2", "<b>",
    "foo_bar(baz[0]);", "=== ---", "//", "...", "!?", "e\u0301", "\u212b", "\ufb01nd",
    "\u0130zmir", "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "stra\u00dfe", "\u2581x\u2581",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f",
    "\u0915\u094d\u0937", "a" * 120, "\u4e2d\u6587\u3002", "\u0958", "\u2126", "\u2581", "</s>",
    "http://a.b/c?d=e", "th\u01b0\u01a1\u0300ng", "a\u0323\u0306", "\ufdfa", "\u00bd", "\u2460",
    "C++", "#include", "new york city", "1234abc 1234567"]


def characters(name):
    return [chr(cp) for first, last in SCRIPTS[name] for cp in range(first, last + 1)
            if unicodedata.category(chr(cp)) != "Cn"]


def texts(n, seed):
    """n texts; a third of them decomposed."""
    rng = random.Random(seed)
    alphabets = {name: characters(name) for name in SCRIPTS}
    names = list(alphabets)

    def word():
        kind = rng.random()
        if kind < 0.2:
            return rng.choice(PHRASES)
        script = alphabets[rng.choice(names if kind < 0.9 else ["latin", "marks"])]
        letters = [rng.choice(script) for _ in range(rng.randint(1, 8))]
        if kind > 0.75:
            letters.insert(rng.randrange(len(letters) + 1), rng.choice(alphabets["marks"]))
        return "".join(letters)

    made = []
    for i in range(n):
        parts = []
        for _ in range(rng.randint(1, 12)):
            parts.append(word())
            if rng.random() < 0.7:
                parts.append(rng.choice(SPACES))
        text = "".join(parts)
        made.append(unicodedata.normalize("NFD", text) if i % 3 == 1 else text)
    return made
