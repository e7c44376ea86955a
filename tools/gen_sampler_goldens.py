#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/session/data/sampler.gold: logits, recipes, the distributions that a plain NumPy reading of the stages gives for them,
and for some how often each token comes in 100000 draws with the library's random numbers (Philox 4x32-10, written here once more).
Each stage is written as its definition says (sort all, normalize, cut), in float64 and without the library's shortcuts. vectors()
holds the plain reading itself against figures that were worked out by hand."""
import struct
import sys

import numpy as np

INF = np.inf
DRAWS = 100000
PENALTIES, DRY, TOP_N_SIGMA, TOP_K, TYPICAL, TOP_P, MIN_P, XTC, TEMPERATURE = range(1, 10)
USUAL = [PENALTIES, DRY, TOP_N_SIGMA, TOP_K, TYPICAL, TOP_P, MIN_P, XTC, TEMPERATURE]

FIELDS = [  # name, struct format, what zero means
    ("temperature", "f", 0), ("top_k", "i", 0), ("top_p", "f", 0), ("min_p", "f", 0), ("min_keep", "i", 1), ("penalty_last_n", "i", 64),
    ("repeat_penalty", "f", 1.0), ("frequency_penalty", "f", 0), ("presence_penalty", "f", 0), ("dynatemp_range", "f", 0),
    ("dynatemp_exponent", "f", 1.0), ("typical_p", "f", 0), ("top_n_sigma", "f", 0), ("xtc_probability", "f", 0), ("xtc_threshold", "f", 0.1),
    ("dry_multiplier", "f", 0), ("dry_base", "f", 1.75), ("dry_allowed_length", "i", 2), ("dry_last_n", "i", 0), ("mirostat", "i", 0),
    ("mirostat_tau", "f", 5.0), ("mirostat_eta", "f", 0.1), ("adaptive_target", "f", 0), ("adaptive_decay", "f", 0.9),
]


def uniform(seed, counters, stream):
    """Philox 4x32-10, the low 64 bits of a block, as a number in [0, 1)."""
    counters = np.asarray(counters, dtype=np.uint64)
    low = np.uint64(0xFFFFFFFF)
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    c = [counters & low, counters >> np.uint64(32), np.full_like(counters, stream & 0xFFFFFFFF), np.full_like(counters, stream >> 32)]
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & low, (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return (((c[1] << np.uint64(32)) | c[0]) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def repetitions(history, allowed):
    """For each token, the longest repetition that it would carry on, by looking at every earlier place."""
    longest = {}
    for k in range(1, len(history)):                # history[:k] against the whole: its token at k comes next
        n = 0
        while n < k and history[k - 1 - n] == history[-1 - n]:
            n += 1
        if n >= allowed:
            longest[history[k]] = max(longest.get(history[k], 0), n)
    return longest


def softmax(l):
    e = np.exp(l - l.max())
    return e / e.sum()


def plan(r):
    """The recipe with its defaults."""
    full = dict(r)
    for name, form, default in FIELDS:
        if not full[name]:
            full[name] = float(np.float32(default)) if form == "f" else default
    if full["order"] is None:
        full["order"] = [TEMPERATURE] if full["mirostat"] else USUAL
    return full


def run(logits, r, history, xtc=True, memory=None):
    """ids in the order in which a draw walks them, their probabilities, and those before an adaptive recipe bent them."""
    l = logits.astype(np.float64).copy()
    for token, bias in r["biases"]:
        l[token] += bias
    ids = np.array([i for i in range(len(l)) if l[i] != -INF])
    falling = False
    keep = r["min_keep"]

    def cut(keys, n=None):
        """By falling key, then rising id; the first n."""
        return ids[np.lexsort((ids, -keys))[:n]]

    for stage in r["order"]:
        x = l[ids]
        if stage == PENALTIES:
            last = r["penalty_last_n"]
            window = history if last < 0 else history[-last:]
            for token in set(window):
                count = window.count(token)
                l[token] = l[token] / r["repeat_penalty"] if l[token] > 0 else l[token] * r["repeat_penalty"]
                l[token] -= count * r["frequency_penalty"] + r["presence_penalty"]
        elif stage == DRY and r["dry_multiplier"]:
            last = r["dry_last_n"]
            window = history if last <= 0 else history[-last:]
            for token, n in repetitions(window, r["dry_allowed_length"]).items():
                most = int(88.7228391 / np.log(r["dry_base"])) if r["dry_base"] > 1.000001 else INF
                l[token] -= r["dry_multiplier"] * r["dry_base"] ** min(n - r["dry_allowed_length"], most)
        elif stage == TOP_N_SIGMA and r["top_n_sigma"]:
            ids, falling = ids[x >= x.max() - r["top_n_sigma"] * x.std()], True
        elif stage == TOP_K and 0 < r["top_k"] < len(ids):
            ids, falling = cut(x, r["top_k"]), True
        elif stage == TYPICAL and 0 < r["typical_p"] < 1:
            surprise = np.log(np.exp(x - x.max()).sum()) - (x - x.max())
            shifted = np.abs(surprise - (softmax(x) * surprise).sum())
            order = np.lexsort((ids, np.float32(shifted)))
            mass = np.cumsum(softmax(x)[order])
            ids, falling = ids[order[: max(int((mass <= r["typical_p"]).sum()) + 1, keep)]], True
        elif stage == TOP_P and 0 < r["top_p"] < 1:
            ids = cut(x)
            mass = np.cumsum(softmax(l[ids]))
            ids, falling = ids[: max(int(np.searchsorted(mass, r["top_p"] * (1 - 1e-12))) + 1, keep)], True
        elif stage == MIN_P and r["min_p"] > 0:
            n = max(int((softmax(x) >= r["min_p"] * softmax(x).max() * (1 - 1e-9)).sum()), keep)
            ids, falling = cut(x, n), True
        elif stage == XTC and r["xtc_probability"] and r["xtc_threshold"] <= 0.5 and len(ids) >= 2 and xtc:
            ids, falling = cut(x), True
            n = int((softmax(l[ids]) >= r["xtc_threshold"]).sum())
            if n > 1 and len(ids) - (n - 1) >= keep:
                ids = ids[n - 1:]
        elif stage == TEMPERATURE:
            t = r["temperature"]
            if r["dynatemp_range"] > 0 and len(ids) > 1:
                p = softmax(x)
                even = -(p[p > 0] * np.log(p[p > 0])).sum() / np.log(len(ids))
                t = max(t - r["dynatemp_range"], 0) + (t + r["dynatemp_range"] - max(t - r["dynatemp_range"], 0)) * even ** r["dynatemp_exponent"]
            if t == 0:
                ids = cut(x, 1)
            else:
                l[ids] /= t
        if falling:
            ids = cut(l[ids])
    if r["mirostat"]:
        mu = 2 * r["mirostat_tau"] if memory is None else memory[0]
        ids = cut(l[ids])
        p = softmax(l[ids])
        if r["mirostat"] == 1:
            ids = ids[: mirostat_k(p, len(l), mu)[1]]
        else:
            ids = ids[: max(int((-np.log2(p) <= mu).sum()), 1)]
    p = before = softmax(l[ids])
    if r["adaptive_target"]:
        total, weight = (r["adaptive_target"] / (1 - r["adaptive_decay"]), 1 / (1 - r["adaptive_decay"])) if memory is None else memory
        d = np.abs(p - np.clip(2 * r["adaptive_target"] - total / weight, 0, 1)) / 0.3
        p = softmax(5 - 10 * d * d / (1 + d))
    return ids, p, before


def mirostat_k(p, n_vocab, mu):
    if len(p) == 1:
        return 0, 1
    i = np.arange(min(100, len(p)) - 1)
    t, b = np.log((i + 2) / (i + 1)), np.log(p[i] / p[i + 1])
    s = (t * b).sum() / (t * t).sum()
    if s <= 0:
        return s, len(p)
    e = s - 1
    k = (e * 2**mu / (1 - float(n_vocab) ** -e)) ** (1 / s)
    return s, int(max(min(k, len(p)), 1))


def learn(r, memory, p):
    """What is remembered after a draw; p: the drawn token's, as run() gives it."""
    if r["mirostat"]:
        mu = 2 * r["mirostat_tau"] if memory is None else memory[0]
        return (mu - r["mirostat_eta"] * (-np.log2(p) - r["mirostat_tau"]), 0.0)
    total, weight = (r["adaptive_target"] / (1 - r["adaptive_decay"]), 1 / (1 - r["adaptive_decay"])) if memory is None else memory
    return (p + r["adaptive_decay"] * total, 1 + r["adaptive_decay"] * weight)


def draw_many(logits, r, history, seed):
    """How often each token comes, and what is remembered at the end."""
    u, dice = uniform(seed, np.arange(DRAWS), 0), uniform(seed, np.arange(DRAWS), 1)
    counts, memory, known = np.zeros(len(logits), dtype=np.int64), None, {}
    for xtc in (False, True):
        known[xtc] = run(logits, r, history, xtc)
    if not r["mirostat"] and not r["adaptive_target"]:
        for xtc in (False, True):
            ids, p, _ = known[xtc]
            mine = u[(dice <= r["xtc_probability"]) == xtc]
            np.add.at(counts, ids[np.minimum(np.searchsorted(np.cumsum(p), mine, side="right"), len(ids) - 1)], 1)
        return counts, (0.0, 0.0)
    for i in range(DRAWS):
        ids, p, before = run(logits, r, history, True, memory)
        drawn = min(int(np.searchsorted(np.cumsum(p), u[i], side="right")), len(ids) - 1)
        counts[ids[drawn]] += 1
        memory = learn(r, memory, (p if r["mirostat"] else before)[drawn])
    return counts, memory


def recipe(**fields):
    r = {name: 0 if form == "i" else 0.0 for name, form, _ in FIELDS}
    r.update(temperature=1.0, biases=[], order=None)
    r.update(fields)
    for name, form, _ in FIELDS:
        r[name] = float(np.float32(r[name])) if form == "f" else r[name]
    return r


def vectors(small):
    """Figures worked out from the definitions, apart from this program."""
    def kept(**fields):
        return sorted(run(small, plan(recipe(**fields)), [])[0].tolist())

    def near(got, want, tolerance=2e-6):
        assert np.allclose(got, want, atol=tolerance, rtol=0), (got, want)

    near(softmax(small.astype(float)), [.557275, .205010, .124345, .075419, .027745, .010207])
    assert [len(kept(top_p=p)) for p in (.5, .6, .8, .95)] == [1, 2, 3, 4]
    assert [len(kept(min_p=p)) for p in (.05, .2, .3)] == [4, 3, 2]
    assert [kept(typical_p=p) for p in (.3, .5, .9)] == [[0, 1], [0, 1], [0, 1, 2, 3]]
    assert [kept(top_n_sigma=n) for n in (.5, 1, 2)] == [[0], [0, 1], [0, 1, 2, 3]]
    near(run(small, plan(recipe(temperature=.8, dynatemp_range=.5)), [])[1], [.557919, .204891, .124165, .075244, .027633, .010148])
    assert [kept(xtc_probability=1, xtc_threshold=t) for t in (.1, .2)] == [[2, 3, 4, 5], [1, 2, 3, 4, 5]]
    p = softmax(small.astype(float))
    for n_vocab, mu, k in ((6, 2, 2.222411), (32000, 4, 4.128866), (32000, 10, 42.55728)):
        s = mirostat_k(p, n_vocab, mu)[0]
        near(s, 1.782749)
        near((( s - 1) * 2**mu / (1 - float(n_vocab) ** (1 - s))) ** (1 / s), k, 1e-5)
    assert run(small, plan(recipe(mirostat=2)), [], memory=(3.0, 0))[0].tolist() == [0, 1]
    r = plan(recipe(repeat_penalty=1.5, frequency_penalty=.1, presence_penalty=.2))
    near(run(small, r, [0, 0, 2, 5, 5, 5])[1], softmax(np.array([1.6, 2, .7, 1, 0, -2.0])))
    r = plan(recipe(adaptive_target=.5))
    ids, p, before = run(small, r, [])
    near(p, [.988008, .010243, .001271, .000336, .000088, .000054])
    near(learn(r, None, before[0]), [5.057275, 10], 1e-5)
    a, b, c, y = range(4)
    got = repetitions([a, b, c, c, b, c, y, a, b, c], 2)
    assert got == {c: 3, y: 2}, got
    r = plan(recipe(dry_multiplier=.8))
    near(run(np.zeros(6), r, [a, b, c, c, b, c, y, a, b, c])[1], softmax(np.array([0, 0, -1.4, -.8, 0, 0])))


def recipes():
    alone = [
        recipe(temperature=0.0), recipe(), recipe(temperature=0.7), recipe(temperature=2.5), recipe(temperature=0.01),
        recipe(top_k=1), recipe(top_k=3), recipe(top_k=40, temperature=0.8), recipe(top_k=100000), recipe(top_k=1500),
        recipe(top_p=0.5), recipe(top_p=0.6), recipe(top_p=0.8), recipe(top_p=0.95), recipe(top_p=0.999), recipe(top_p=1.0), recipe(top_p=1e-6),
        recipe(min_p=0.05), recipe(min_p=0.2), recipe(min_p=0.3), recipe(min_p=1.0), recipe(min_p=0.5, min_keep=4), recipe(top_p=0.1, min_keep=5),
        recipe(top_k=20, top_p=0.9, min_p=0.1, temperature=0.6), recipe(top_k=2, min_keep=4, top_p=0.1), recipe(top_p=0.9, min_p=0.02),
        recipe(repeat_penalty=1.5, frequency_penalty=0.1, presence_penalty=0.2), recipe(repeat_penalty=1.3, penalty_last_n=3),
        recipe(frequency_penalty=0.5, penalty_last_n=-1), recipe(presence_penalty=-0.4, temperature=0.9, top_p=0.9),
        recipe(biases=[(0, -INF), (2, 1.5), (2, 0.25)]), recipe(biases=[(0, -INF), (1, -INF)], temperature=0.0),
        recipe(biases=[(1, 100.0)], repeat_penalty=2.0, top_k=2),
        recipe(temperature=0.8, dynatemp_range=0.5), recipe(temperature=0.8, dynatemp_range=2.0, dynatemp_exponent=0.6),
        recipe(temperature=0.0, dynatemp_range=1.5), recipe(temperature=1.0, dynatemp_range=0.3, dynatemp_exponent=2.5, top_k=5),
        recipe(typical_p=0.3), recipe(typical_p=0.5), recipe(typical_p=0.9), recipe(typical_p=0.995), recipe(typical_p=0.01, min_keep=4), recipe(typical_p=1.0),
        recipe(top_n_sigma=0.5), recipe(top_n_sigma=1.0), recipe(top_n_sigma=2.0), recipe(top_n_sigma=100.0),
        recipe(xtc_probability=1.0), recipe(xtc_probability=1.0, xtc_threshold=0.2), recipe(xtc_probability=1.0, xtc_threshold=0.02),
        recipe(xtc_probability=1.0, xtc_threshold=0.51), recipe(xtc_probability=1.0, xtc_threshold=0.0001, min_keep=3),
        recipe(dry_multiplier=0.8), recipe(dry_multiplier=2.0, dry_base=1.2, dry_allowed_length=1), recipe(dry_multiplier=0.5, dry_last_n=4, dry_allowed_length=1),
        recipe(dry_multiplier=0.5, dry_base=1.0), recipe(dry_multiplier=1.0, dry_base=1e6, temperature=30.0, dry_allowed_length=1),
        recipe(mirostat=1), recipe(mirostat=2), recipe(mirostat=1, mirostat_tau=0.6), recipe(mirostat=2, mirostat_tau=0.6, temperature=0.7),
        recipe(mirostat=2, temperature=0.0), recipe(mirostat=1, mirostat_tau=1.2, temperature=1.3),
        recipe(adaptive_target=0.5), recipe(adaptive_target=0.05, min_p=0.02), recipe(adaptive_target=0.9, adaptive_decay=0.5, temperature=0.6),
    ]
    chains = [
        recipe(temperature=0.8, top_k=40, top_p=0.95, min_p=0.05, repeat_penalty=1.1),
        recipe(temperature=0.8, top_n_sigma=1.5, top_k=40, typical_p=0.9, top_p=0.95, min_p=0.02, xtc_probability=1.0, xtc_threshold=0.1, dry_multiplier=0.8,
               dry_allowed_length=1, repeat_penalty=1.2, presence_penalty=0.1, dynatemp_range=0.3),
        recipe(temperature=0.0, typical_p=0.4, top_k=20), recipe(temperature=0.0, xtc_probability=1.0, top_p=0.9),
        recipe(temperature=1.7, top_p=0.8, order=[TEMPERATURE, TOP_P]), recipe(temperature=0.5, min_p=0.2, repeat_penalty=1.5, order=[TEMPERATURE, MIN_P, PENALTIES]),
        recipe(temperature=1.5, top_k=30, dry_multiplier=1.0, dry_allowed_length=1, order=[TOP_K, TEMPERATURE, DRY]),
        recipe(temperature=1.5, top_k=5, order=[]), recipe(temperature=0.3, top_k=5, order=[TOP_K]),
        recipe(temperature=0.0, top_k=4, typical_p=0.6, order=[TEMPERATURE, TYPICAL]),
        recipe(typical_p=0.7, top_n_sigma=1.0, order=[XTC, TYPICAL, TOP_N_SIGMA], xtc_probability=1.0),
        recipe(mirostat=2, mirostat_tau=2.0, top_k=4, order=[TOP_K, TEMPERATURE]),
        recipe(temperature=0.001, top_n_sigma=0.1, order=[TEMPERATURE, TOP_N_SIGMA]), recipe(temperature=0.01, typical_p=0.5, order=[TEMPERATURE, TYPICAL]),
    ]
    return alone + chains


def drawn_recipes():
    """Those that are drawn with: (recipe, a large set?)."""
    return [
        (recipe(temperature=0.9), True), (recipe(temperature=0.8, dynatemp_range=0.5, dynatemp_exponent=1.5), True), (recipe(typical_p=0.8), True),
        (recipe(top_n_sigma=1.2), True), (recipe(xtc_probability=0.4, xtc_threshold=0.05), True), (recipe(dry_multiplier=0.8, dry_allowed_length=1), True),
        (recipe(top_k=40, top_p=0.95, min_p=0.05, temperature=0.8), True), (recipe(xtc_probability=0.5), False),
        (recipe(mirostat=1, mirostat_tau=1.5), False), (recipe(mirostat=2, mirostat_tau=1.5), False), (recipe(mirostat=2, mirostat_tau=3.0), True),
        (recipe(adaptive_target=0.3), False), (recipe(adaptive_target=0.1, min_p=0.02, adaptive_decay=0.8), True),
        (recipe(temperature=0.7, top_n_sigma=1.5, typical_p=0.9, xtc_probability=0.3, dry_multiplier=0.8, dry_allowed_length=1, repeat_penalty=1.2), True),
    ]


def put_case(out, which, r, history):
    out.write(struct.pack("<I", which))
    out.write(struct.pack("<" + "".join(form for _, form, _ in FIELDS), *[r[name] for name, _, _ in FIELDS]))
    order = r["order"]
    out.write(struct.pack("<i", -1 if order is None else len(order)) + bytes(order or []) + bytes(-len(order or []) % 4))
    out.write(struct.pack("<I", len(r["biases"])))
    for token, bias in r["biases"]:
        out.write(struct.pack("<if", token, bias))
    put_tokens(out, history)


def put_tokens(out, tokens):
    out.write(struct.pack("<I", len(tokens)) + np.array(tokens, dtype="<i4").tobytes())


def main(path):
    rng = np.random.default_rng(20240607)
    small = np.array([3, 2, 1.5, 1, 0, -1], dtype=np.float32)
    ties = np.array([1, 5, 5, 0, 5, 2, 2, -3], dtype=np.float32)
    medium = rng.normal(0, 2, 300).astype(np.float32)
    large = rng.normal(0, 2.5, 3000).astype(np.float32)
    flat = rng.normal(0, 0.01, 3000).astype(np.float32)
    sets = [small, ties, medium, large, flat]
    vectors(small)
    histories = [[0, 2, 5, 5, 0, 5, 2, 5, 5] if len(logits) < 300 else [int(x) for x in rng.integers(0, 6, 200)] for logits in sets]
    cases = [(which, r) for which in range(len(sets)) for r in recipes()]
    with open(path, "wb") as out:
        out.write(b"LMSAMP2\0" + struct.pack("<I", len(sets)))
        for logits, history in zip(sets, histories):
            out.write(struct.pack("<I", len(logits)) + logits.astype("<f4").tobytes())
            put_tokens(out, history)
        out.write(struct.pack("<I", len(cases)))
        for which, r in cases:
            ids, p, _ = run(sets[which], plan(r), histories[which])
            ids, p = ids[p > 1e-37], p[p > 1e-37]       # less is 0 in the library
            shown = np.arange(len(ids)) if len(ids) <= 12 else np.linspace(0, len(ids) - 1, 12).astype(int)
            put_case(out, which, r, [])                 # enough to see a mistake; the rest only as their number
            out.write(struct.pack("<II", len(ids), len(shown)))
            out.write(ids[shown].astype("<i4").tobytes() + p[shown].astype("<f8").tobytes())
        drawn = drawn_recipes()
        out.write(struct.pack("<I", len(drawn)))
        for r, big in drawn:
            which, seed = (2, 7) if big else (0, 5)
            history = [3, 1, 4, 1, 5, 2, 4, 1] if big else [0, 1, 0]
            counts, memory = draw_many(sets[which], plan(r), history, seed)
            put_case(out, which, r, history)
            out.write(struct.pack("<Idd", seed, *memory) + counts.astype("<u4").tobytes())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "tests/session/data/sampler.gold")
