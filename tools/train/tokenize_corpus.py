#!/usr/bin/env python3
"""Learn a byte-level BPE vocabulary (GPT-2's pre-tokenizer) from texts and write the texts as ids.

Documents are separated by lines that say <|endoftext|>; a text without such lines is one document.
Writes FOLDER/tokenizer.json (kept and used again if it is there) and FOLDER/tokens.bin (uint16):
the documents in a fixed random order, each with the end-of-text id in front.

Needs the Python packages tokenizers and numpy.
"""
import argparse
import pathlib

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

END = "<|endoftext|>"


def learn(documents, n_vocab):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=n_vocab,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(documents, trainer)
    if tokenizer.get_vocab_size() < n_vocab:
        raise SystemExit(
            f"the text yields only {tokenizer.get_vocab_size()} tokens: "
            "give more text or a smaller --vocab"
        )
    return tokenizer


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("texts", nargs="+", type=pathlib.Path, metavar="TEXT")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument(
        "--vocab", type=int, default=2048, help="entries, 257 to 65536 (default 2048)"
    )
    args = parser.parse_args()
    if not 257 <= args.vocab <= 65536:
        parser.error("--vocab must be 257 to 65536")
    documents = [
        part.strip() for text in args.texts for part in text.read_text(encoding="utf-8").split(END)
    ]
    documents = [part for part in documents if part]
    if not documents:
        parser.error("the texts are empty")
    args.folder.mkdir(parents=True, exist_ok=True)

    known = args.folder / "tokenizer.json"
    if known.exists():
        tokenizer = Tokenizer.from_file(str(known))
    else:
        tokenizer = learn(documents, args.vocab)
        tokenizer.save(str(known))

    end = tokenizer.token_to_id(END)
    order = np.random.default_rng(1).permutation(len(documents))
    ids = [
        np.array([end] + e.ids, dtype=np.uint16)
        for e in tokenizer.encode_batch([documents[i] for i in order])
    ]
    np.concatenate(ids).tofile(args.folder / "tokens.bin")
    n_ids, n_characters = sum(map(len, ids)), sum(map(len, documents))
    print(
        f"{len(documents)} documents, {n_ids} tokens of {tokenizer.get_vocab_size()}, "
        f"{n_characters / n_ids:.2f} characters a token"
    )


if __name__ == "__main__":
    main()
