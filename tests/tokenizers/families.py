"""Each family's own pipeline, as its tokenizer.json has it: normalizer, pre-tokenizers, model.

A family's name is what GGUF files have as tokenizer.ggml.pre. The patterns are those that the
families published, in the words of the `tokenizers` package.
"""
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

import vocabulary

SHORT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
END = r"\s*[\r\n]+|\s+(?!\S)|\s+"


def cl100k(digits, signs=r" ?[^\s\p{L}\p{N}]+[\r\n]*"):
    return SHORT + r"|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits + "|" + signs + "|" + END


UPPER, LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"


def cased(digits, short=SHORT + "?", less="", signs=r" ?[^\s\p{L}\p{N}]+[\r\n/]*"):
    first = r"[^\r\n\p{L}\p{N}]?"
    upper, lower = f"[{UPPER}{less}]", f"[{LOWER}{less}]"
    return (f"{first}{upper}*{lower}+{short}|{first}{upper}+{lower}*{short}|{digits}|{signs}|"
            + END)


QWEN35 = (SHORT + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + END)
KIMI = r"[\p{Han}]+|" + cased(r"\p{N}{1,3}", less=r"&&[^\p{Han}]",
                              signs=r" ?[^\s\p{L}\p{N}]+[\r\n]*")
SIGN = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"
DEEPSEEK3 = (SIGN + r"[A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|" + END)
CJK = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
PHRASE = (SHORT + r"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+")
BAILING = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|"
           r"\s*[\r\n]|\s+(?!\S)|\s+")
BLOOM = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+"
ONE, THREE = r"\p{N}", r"\p{N}{1,3}"
NFC = normalizers.NFC()


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def byte_level(*stages, regex=False):
    return pre_tokenizers.Sequence([
        *[split(one) if isinstance(one, str) else one for one in stages],
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)])


DIGITS = pre_tokenizers.Digits(individual_digits=True)
# name: (normalizer, pre-tokenizer, whether a word that is a token stays whole)
BYTE_LEVEL = {
    "gpt-2": (None, byte_level(regex=True), False),
    "olmo": (NFC, byte_level(regex=True), False),
    "refact": (None, byte_level(DIGITS, regex=True), False),
    "smollm": (None, byte_level(DIGITS, regex=True), False),
    "command-r": (NFC, byte_level(DIGITS, regex=True), False),
    "llama-bpe": (None, byte_level(cl100k(THREE)), True),
    "lfm2": (None, byte_level(cl100k(THREE)), True),
    "dbrx": (None, byte_level(cl100k(THREE)), False),
    "glm4": (None, byte_level(cl100k(THREE)), True),
    "qwen2": (NFC, byte_level(cl100k(ONE)), False),
    "qwen35": (NFC, byte_level(QWEN35), False),
    "tekken": (None, byte_level(cased(ONE, short="")), True),
    "gpt-4o": (None, byte_level(cased(THREE)), False),
    "llama4": (None, byte_level(cased(THREE)), False),
    "kimi-k2": (None, byte_level(KIMI), False),
    "deepseek-coder": (None, byte_level(
        "[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+",
        DIGITS), False),
    "deepseek-v3": (None, byte_level(THREE, CJK, DEEPSEEK3), False),
    "hunyuan-dense": (None, byte_level(THREE, CJK, DEEPSEEK3), False),
    "hunyuan": (NFC, byte_level(cl100k(ONE)), False),
    "minicpm5": (None, byte_level(THREE, cl100k(r"\p{N}+")), True),
    "bailingmoe": (None, byte_level(BAILING), False),
    "seed-coder": (None, byte_level(cl100k(r"\p{N}{1}", r" ?[^\s\p{L}\p{N}\r\n]+")), False),
    "superbpe": (None, byte_level(r"\p{N}+", r"(?=(\d{3})+(?!\d))"), False),
    "exaone4": (None, byte_level(regex=True), False),
    "exaone-moe": (None, byte_level(PHRASE), False),
    "tiny_aya": (NFC, byte_level(r"\d{1,3}(?=(?:\d{3})*\b)", cased(THREE)), False),
    "bloom": (None, byte_level(BLOOM), False),
}


def letters():
    """The alphabet of bytes: each byte's letter."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    return {**{byte: chr(byte) for byte in own},
            **{byte: chr(256 + i) for i, byte in enumerate(others)}}


def texts_of(keys):
    """The vocabulary's texts, first ids where two are equal."""
    found = {}
    for i, text in enumerate(keys["tokens"]):
        found.setdefault(vocabulary.as_bytes(text).decode(errors="replace"), i)
    return found


def merges_of(keys):
    pairs = []
    for merge in keys["merges"]:
        merge = vocabulary.as_bytes(merge).decode()
        at = merge.index(" ", 1)
        pairs.append((merge[:at], merge[at + 1:]))
    return pairs


def byte_level_pipeline(keys, family):
    normalizer, words, keeps = BYTE_LEVEL[family]
    made = Tokenizer(models.BPE(texts_of(keys), merges_of(keys), ignore_merges=keeps))
    if normalizer is not None:
        made.normalizer = normalizer
    made.pre_tokenizer = words
    return made


def gemma4_pipeline(keys):
    made = Tokenizer(models.BPE(texts_of(keys), merges_of(keys), unk_token="<unk>", fuse_unk=True,
                                byte_fallback=True))
    made.normalizer = normalizers.Replace(" ", "\u2581")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    add_user_defined(made, keys)
    return made


def add_user_defined(made, keys):
    for text, kind in zip(keys["tokens"], keys["token_type"]):
        text = AddedToken(vocabulary.as_bytes(text).decode(), normalized=False)
        if kind == vocabulary.USER_DEFINED:
            made.add_tokens([text])
        elif kind == vocabulary.CONTROL:
            made.add_special_tokens([text])


def bert_pipeline(keys, lowercase=True, strip_accents=None):
    found = {}
    for i, (text, kind) in enumerate(zip(keys["tokens"], keys["token_type"])):
        text = vocabulary.as_bytes(text).decode()
        if kind == vocabulary.CONTROL or (text.startswith("[") and text.endswith("]")):
            found[text] = i
        else:
            starts = text.startswith("\u2581") and text != "\u2581"
            found[text[1:] if starts else "##" + text] = i
    made = Tokenizer(models.WordPiece(found, unk_token="[UNK]", max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer(True, True, strip_accents, lowercase)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


def t5_pipeline(keys, spaces="whitespace"):
    """spaces: "whitespace" as XLM-R cuts them, "strip" as T5 does."""
    scores = [(vocabulary.as_bytes(text).decode(), score)
              for text, score in zip(keys["tokens"], keys["scores"])]
    unknown = keys["token_type"].index(vocabulary.UNKNOWN)
    made = Tokenizer(models.Unigram(scores, unknown,
                                    byte_fallback=vocabulary.BYTE in keys["token_type"]))
    steps = [normalizers.Precompiled(bytes(keys["precompiled_charsmap"]))]
    metaspace = pre_tokenizers.Metaspace("\u2581", prepend_scheme="always")
    if spaces == "strip":
        steps += [normalizers.Strip(left=False, right=True),
                  normalizers.Replace(Regex(" {2,}"), "\u2581")]
        made.pre_tokenizer = metaspace
    else:
        made.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), metaspace])
    made.normalizer = normalizers.Sequence(steps)
    add_user_defined(made, keys)
    return made
