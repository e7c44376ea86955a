#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the goldens of tests/text: what Hugging Face `tokenizers` and `sentencepiece` make of awkward texts.

    tools/gen_tokenizer_goldens.py OUT_DIR [--smollm tokenizer.json] [--tok105 tok105.model]

Without the options: bpe.txt (a byte-level BPE trained here on this tree's documents and the sentences below; one set of merges
under the regular expressions of several families), chars.txt (a BPE of characters, as Gemma 4 has it), gemma4.gguf (a vocabulary of that kind), spm.txt and spm_plain.txt (SentencePiece models trained here). With them:
the same texts for two real tokenizers, whose files the test finds elsewhere or is skipped.

Lines: `T` token (BPE: text; others: score, type, text in hexadecimal), `M` merge (chars.txt: in hexadecimal), `C` case in hexadecimal, `P` a pre-tokenizer's name (the
cases follow in order as `I` lines of ids).
"""
import argparse
import collections
import io
import json
import pathlib
import random

import gguf
import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parent.parent
SENTENCES = """
All human beings are born free and equal in dignity and rights. It's what we've said, I'll say it again; they're DON'T and CAN'T.
Alle Menschen sind frei und gleich an Würde und Rechten geboren. Größe, Straße, Übermut, schön wie ein Märchen.
Todos los seres humanos nacen libres e iguales en dignidad y derechos. El niño comió piña mañana por la mañana.
Tous les êtres humains naissent libres et égaux en dignité et en droits. L'été, l'œuvre, aujourd'hui, c'est ça.
Все люди рождаются свободными и равными в своём достоинстве и правах. Они наделены разумом и совестью.
人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。
すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。
모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.
يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق. सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है।
Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền. 12 345 678,90 EUR; 3.14159; 0xdeadbeef
for (int i = 0; i < 1000; i++) { printf("%d\\n", a[i] += b[i] * 2); }    /* loops */
\tif (x == NULL) return -1;\n\n\n    else:\n        pass   # nothing \U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f
"""
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
TAIL = r"\s*[\r\n]+|\s+(?!\S)|\s+"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def llama3(numbers):
    return CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|" + numbers + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|" + TAIL


QWEN35 = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|" + TAIL
FAMILIES = [  # pre-tokenizer, its expressions, ignore_merges
    ("gpt-2", [GPT2], False),
    ("llama-bpe", [llama3(r"\p{N}{1,3}")], True),
    ("dbrx", [llama3(r"\p{N}{1,3}")], False),
    ("qwen2", [llama3(r"\p{N}")], False),
    ("qwen35", [QWEN35], False),
    ("minicpm5", [r"\p{N}{1,3}", llama3(r"\p{N}+")], True),
    ("starcoder", [r"\p{N}", GPT2], False),
    ("falcon", [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"], False),
    ("default", [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"], False),
]

PARTS = [
    "hello", "Hello", "HELLO", "it's", "IT'S", "we'Ve", "'ll", "'LL", "'d", "'D'", "'ſ", "'re'", "x'tx", "don't", "''", "'", "’s",
    "1", "12", "123", "1234", "12345678", "3.14", "١٢٣٤", "½", "Ⅷ", "²³", "७", "𝟘𝟙", "1a2b", "0x1F",
    " ", "  ", "   ", "        ", "\t", "\t\t", "\n", "\n\n", "\r\n", " \n", "\n ", " \n \n", "\r", "\v", "\f", "\x85", "\xa0", "\u2028",
    "\u3000", "\u200b", "\ufeff", "\u1680", "\u180e", "\u202f", "\x1c", "\x00", "\x7f",
    ".", "...", "!?", "$+<=>^~|`", "(", ")", "[[", "/*", "*/", "//", "--", "—", "…", "#", "@", "%", "€", "™", "「", "」", "。", "！", "–",
    "Größe", "naïve", "e\u0301", "a\u0308\u0323", "\u0301", "\u0301x", " \u0301", "न\u093fय", "\u0903", "ё", "Москва", "русский", "ΑΩ", "ǅ", "ʰ", "ª",
    "人人", "自由", "にほん", "カタ", "ー", "한국", "각", "ไทย", "العربية", "עברית", "\u0640", "𐐷", "𠀀", "㍿", "ﬁ", "İ", "ß", "ſ", "K",
    "😀", "👨‍👩‍👧", "❤️", "🏳️‍🌈", "🇩🇪", "👍🏽", "\U000e0041", "\ue000", "\U0010ffff", "\ufffd", "▁", "▁▁", "Ġ", "Ċ", "<s>", "</s>", "<0x0A>", "<|end|>",
    "for", "return", "i++", "==", "};", "printf(\"%d\\n\")", "http://a.b/c?d=e&f", "a_b", "camelCase", "rights", "dignity", "human",
]


def make_cases():
    rng = random.Random(20240607)
    cases = ["", " ", "  a", "a ", "\n", *PARTS]
    while len(cases) < 250:
        cases.append("".join(rng.choice(PARTS) for _ in range(rng.randint(2, 9))))
    while len(cases) < 290:
        top = rng.choice([0x80, 0x250, 0x3000, 0x10000, 0x20000])
        code = [rng.randrange(top) for _ in range(rng.randint(3, 14))]
        cases.append("".join(rng.choice([chr(c), chr(c), " ", "a", "7", "\n"]) for c in code if not 0xD800 <= c < 0xE000))
    while len(cases) < 296:                     # long words take another path
        cases.append("".join(rng.choice(["dignity", "rights", "aaaa", "free", "自由", "=="]) for _ in range(rng.randint(20, 40))))
    return cases


def corpus():
    # Frozen copies of two of this tree's documents: the goldens must not change when the documents do.
    text = [(ROOT / "tests/text/data" / name).read_text() for name in ("corpus_1.txt", "corpus_2.txt")]
    return text + [SENTENCES] * 6


def split(expressions):
    stages = [pre_tokenizers.Split(Regex(e), "isolated") for e in expressions]
    return pre_tokenizers.Sequence(stages + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def write_cases(out, cases, encode):
    for case in cases:
        out.write("I %s\n" % " ".join(map(str, encode(case))))


def write_bpe(path, cases):
    trainer_tokenizer = Tokenizer(models.BPE())
    # Words that cross the families' borders are learned too, so that a missed border shows.
    trainer_tokenizer.pre_tokenizer = split([r"[^\s]+\s?[^\s]?|\s+"])
    trainer_tokenizer.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=1400, min_frequency=1, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    data = json.loads(trainer_tokenizer.to_str())["model"]
    vocab, merges = data["vocab"], [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in data["merges"]]
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        for token, _ in sorted(vocab.items(), key=lambda item: item[1]):
            out.write("T %s\n" % token)
        for left, right in merges:
            out.write("M %s %s\n" % (left, right))
        for case in cases:
            out.write("C %s\n" % case.encode().hex())
        for name, expressions, ignore_merges in FAMILIES:
            tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=ignore_merges))
            tokenizer.pre_tokenizer = split(expressions)
            out.write("P %s\n" % name)
            write_cases(out, cases, lambda text: tokenizer.encode(text, add_special_tokens=False).ids)


def write_chars(path, cases):
    lines = pre_tokenizers.Split(Regex(r"[^\n]+|[\n]+"), "isolated")
    trained = Tokenizer(models.BPE())
    trained.normalizer = normalizers.Replace(" ", "\u2581")
    # Some words together, so that merges cross spaces.
    trained.pre_tokenizer = pre_tokenizers.Split(Regex("\u2581?[^\u2581\n]+\u2581?[^\u2581\n]?|\u2581+|\\n+"), "isolated")
    counts = collections.Counter("".join(corpus()).replace(" ", "\u2581"))
    alphabet = sorted(counts, key=lambda c: (-counts[c], c))[:130]
    trained.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=900, min_frequency=1, show_progress=False, initial_alphabet=alphabet, limit_alphabet=len(alphabet)))
    data = json.loads(trained.to_str())["model"]
    merges = [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in data["merges"]]
    tokens = ["<unk>"] + ["<0x%02X>" % i for i in range(256)] + [t for t, _ in sorted(data["vocab"].items(), key=lambda item: item[1])]
    tokens += [t for t in ("\n\n\n", "\n\n\n\n\n") if t not in tokens]             # only by the rule for runs of newlines
    vocab = {token: i for i, token in enumerate(tokens)}
    assert any(t[0] != "\u2581" and "\u2581" in t for t in tokens) and len(vocab) == len(tokens)
    model = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", byte_fallback=True))
    model.normalizer = normalizers.Replace(" ", "\u2581")
    model.pre_tokenizer = lines

    def gemma4(text):
        ids = []
        for piece, _ in lines.pre_tokenize_str(text):
            whole = piece in vocab and not piece.strip("\n")
            ids += [vocab[piece]] if whole else model.encode(piece, add_special_tokens=False).ids
        return ids

    words = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", byte_fallback=True))
    words.pre_tokenizer = pre_tokenizers.Split(Regex(r"\S+"), "removed", invert=True)
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        for i, token in enumerate(tokens):
            out.write("T 0 %d %s\n" % (2 if i == 0 else 6 if i <= 256 else 1, token.encode().hex()))
        for left, right in merges:
            out.write("M %s\n" % (left + " " + right).encode().hex())
        for case in cases:
            out.write("C %s\n" % case.encode().hex())
        out.write("P gemma4\n")
        write_cases(out, cases, gemma4)
        out.write("P sarvam-moe\n")
        write_cases(out, cases, lambda text: model.encode(text, add_special_tokens=False).ids)
        out.write("P whitespace\n")
        write_cases(out, cases, lambda text: words.encode(text, add_special_tokens=False).ids)


def write_gemma4_gguf(path):
    """A file as Gemma 4's are: the model's name alone says how text is cut and that BOS is added."""
    tokens = [("<pad>", 3), ("<eos>", 3), ("<bos>", 3), ("<unk>", 2), ("<0x0A>", 6), ("\u2581", 1), ("a", 1), ("b", 1), ("\n", 1),
              ("\u2581a", 1), ("\u2581ab", 1), ("  ", 4), ("\n\n\n", 1)]
    writer = gguf.GGUFWriter(path, "gemma4")
    writer.add_tokenizer_model("gemma4")
    writer.add_token_list([token for token, _ in tokens])
    writer.add_token_types([kind for _, kind in tokens])
    writer.add_token_merges(["\u2581 a", "\u2581a b", "\u2581 \u2581"])
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(3)
    writer.add_add_bos_token(False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_spm(path, cases, processor, pieces=True):
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        for i in range(processor.get_piece_size() if pieces else 0):
            kind = (3 if processor.is_control(i) else 2 if processor.is_unknown(i) else 6 if processor.is_byte(i)
                    else 5 if processor.is_unused(i) else 4 if processor.id_to_piece(i).startswith("<@") else 1)
            out.write("T %r %d %s\n" % (processor.get_score(i), kind, processor.id_to_piece(i).encode().hex()))
        for case in cases:
            out.write("C %s\n" % case.encode().hex())
        out.write("P spm\n")
        write_cases(out, cases, processor.encode)


def train_spm(**options):
    model = io.BytesIO()
    lines = [line for text in corpus() for line in text.splitlines()]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type="bpe", normalization_rule_name="identity",
        remove_extra_whitespaces=False, num_threads=1, minloglevel=2, **options)
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--smollm")
    parser.add_argument("--tok105")
    options = parser.parse_args()
    out = pathlib.Path(options.out)
    cases = make_cases()
    write_bpe(out / "bpe.txt", cases)
    write_chars(out / "chars.txt", [*cases[::3], "a\n\n\nb", "\n\n\n", "\n\n\n\n", "a \n\n\n\n\n", "x\n\n\n \n"])
    write_gemma4_gguf(out / "gemma4.gguf")
    no_nul = [c for c in cases if "\0" not in c]
    write_spm(out / "spm.txt", no_nul, train_spm(vocab_size=900, byte_fallback=True, character_coverage=0.995))
    write_spm(out / "spm_plain.txt", no_nul, train_spm(
        vocab_size=500, split_by_whitespace=False, split_by_number=False, split_by_unicode_script=False, add_dummy_prefix=False,
        character_coverage=0.98, user_defined_symbols=["<@a>", "<@bc>"]))
    if options.smollm:
        tokenizer = Tokenizer.from_file(options.smollm)
        special = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
        mine = [c for c in cases if not any(s in c for s in special)]
        with open(out / "smollm.txt", "w", newline="\n") as file:
            for case in mine:
                file.write("C %s\n" % case.encode().hex())
            file.write("P smollm\n")
            write_cases(file, mine, lambda text: tokenizer.encode(text, add_special_tokens=False).ids)
    if options.tok105:
        processor = sentencepiece.SentencePieceProcessor(options.tok105)
        # Its normalizer folds characters and spaces, which GGUF files do not carry: texts that it leaves alone.
        mine = [c for c in no_nul if processor.normalize(c) == ("▁" + c.replace(" ", "▁")) and c]
        write_spm(out / "tok105.txt", mine, processor)


if __name__ == "__main__":
    main()
