#!/usr/bin/env python3
"""Writes the small vocabularies of tests/fixtures/tokenizers and what `tokenizers` makes of texts.

    build/venv-tokenizers/bin/python tests/tokenizers/make_vocabularies.py

One vocabulary of each kind, trained on the texts of texts.py, so that many scripts are in it; then
answers.json: for each family a few texts and their ids, for the tests that run without packages.
"""
import collections
import io
import json
import pathlib

import sentencepiece
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import families
import texts
import vocabulary

OUT = pathlib.Path(__file__).resolve().parents[1] / "fixtures" / "tokenizers"
N_TEXTS, ANSWERS_SEED = 12, 7
MARK = "\u2581"


def training_texts():
    """Without the texts that would be ends of a generation as tokens."""
    return [text.replace("</s>", "") for text in texts.texts(4000, 1)]


def ordered(tokenizer):
    found = tokenizer.get_vocab()
    return sorted(found, key=found.get)


def merges(tokenizer):
    return [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


def bytes_vocabulary(corpus):
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = families.byte_level(families.cl100k(families.THREE))
    made.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokens = ordered(made)
    return {"model": "gpt2", "pre": "qwen2", "tokens": tokens,
            "token_type": [vocabulary.NORMAL] * len(tokens), "merges": merges(made)}


def raw_vocabulary(corpus):
    made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    made.normalizer = normalizers.Replace(" ", MARK)
    made.pre_tokenizer = pre_tokenizers.Split("\n", "isolated")
    made.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=700, limit_alphabet=300, show_progress=False,
        special_tokens=["<pad>", "<eos>", "<bos>", "<unk>", *[f"<0x{i:02X}>" for i in range(256)]]))
    tokens = ordered(made)
    types = [vocabulary.CONTROL] * 3 + [vocabulary.UNKNOWN] + [vocabulary.BYTE] * 256
    types += [vocabulary.NORMAL] * (len(tokens) - len(types))
    runs = ["\n" * n for n in range(2, 6)]
    return {"model": "gemma4", "tokens": tokens + runs,
            "token_type": types + [vocabulary.USER_DEFINED] * len(runs), "merges": merges(made),
            "bos_token_id": 2, "eos_token_id": 1, "unknown_token_id": 3}


def bert_vocabulary(corpus):
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(corpus, trainers.WordPieceTrainer(
        vocab_size=900, limit_alphabet=250, show_progress=False, special_tokens=specials))
    tokens = [text if text in specials else text[2:] if text.startswith("##") else MARK + text
              for text in ordered(made)]
    types = [vocabulary.CONTROL] * len(specials)
    types += [vocabulary.NORMAL] * (len(tokens) - len(types))
    return {"model": "bert", "tokens": tokens, "token_type": types, "unknown_token_id": 1,
            "cls_token_id": 2, "seperator_token_id": 3}


def unigram_vocabulary(corpus, bytes_too):
    counts = collections.Counter("".join(corpus))
    common = {char for char, _ in counts.most_common(300)} - {"\n"}
    lines = ["".join(char for char in text if char in common) for text in corpus]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=2400, model_type="unigram",
        character_coverage=1.0, normalization_rule_name="nmt_nfkc", byte_fallback=bytes_too,
        hard_vocab_limit=False, minloglevel=2, max_sentence_length=100000)
    trained = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    types = []
    for i in range(len(trained)):
        types.append(vocabulary.UNKNOWN if trained.is_unknown(i)
                     else vocabulary.CONTROL if trained.is_control(i)
                     else vocabulary.BYTE if trained.is_byte(i) else vocabulary.NORMAL)
    return {"model": "t5", "tokens": [trained.id_to_piece(i) for i in range(len(trained))],
            "scores": [trained.get_score(i) for i in range(len(trained))], "token_type": types,
            "precompiled_charsmap": charsmap_of(model.getvalue()), "unknown_token_id": 0,
            "bos_token_id": 1, "eos_token_id": 2, "add_space_prefix": True,
            "remove_extra_whitespaces": True}


def charsmap_of(proto):
    """The normalizer's map: field 2 of field 3 of the model, both of bytes."""
    return list(field(field(proto, 3), 2))


def field(message, number):
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            varint()
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            n = varint()
            if key >> 3 == number:
                return message[at:at + n]
            at += n
    raise KeyError(number)


def answers(made):
    """[vocabulary, pre or other keys, texts' ids] of each family."""
    samples = texts.texts(N_TEXTS, ANSWERS_SEED)
    out = {"texts": samples, "families": []}

    def add(name, changes, pipeline):
        out["families"].append({
            "vocabulary": name, "changes": changes,
            "ids": [" ".join(map(str, pipeline.encode(text, add_special_tokens=False).ids))
                    for text in samples]})

    for family in families.BYTE_LEVEL:
        add("bytes", {"pre": family}, families.byte_level_pipeline(made["bytes"], family))
    add("gemma4", {}, families.gemma4_pipeline(made["gemma4"]))
    add("bert", {}, families.bert_pipeline(made["bert"]))
    add("bert", {"normalizer.lowercase": False}, families.bert_pipeline(made["bert"], False))
    add("t5", {}, families.t5_pipeline(made["t5"]))
    return out


def main():
    corpus = training_texts()
    made = {"bytes": bytes_vocabulary(corpus), "gemma4": raw_vocabulary(corpus),
            "bert": bert_vocabulary(corpus), "t5": unigram_vocabulary(corpus, False)}
    OUT.mkdir(exist_ok=True)
    for name, keys in made.items():
        vocabulary.write(OUT / f"{name}.gguf", keys)
    (OUT / "answers.json").write_text(json.dumps(answers(made), indent=1) + "\n")


if __name__ == "__main__":
    main()
