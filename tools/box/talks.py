# SPDX-License-Identifier: MIT
"""Dialogues in chat form: an assistant that greets, tells a story about what it is given, answers questions about two or three sentences just said,
adds and compares small numbers, fills a small JSON object from a sentence, and says that it does not know.

`talk` gives (kind, messages): messages are (role, text); the last message is the answer that is expected. Every question has exactly one answer:
facts are drawn so that no two of them share a person, a thing, a place, a colour or a number.
"""
import json

from stories import Plan, possible, tell
from world import BEINGS, COLOURS, COUNTED, DAYS, FOODS, HOMES, JOBS, PLACES, THINGS, THINGS_HELD, TRAITS, an, cap, fits, held, pick_name, pick_names, pronoun, there, thing

DO_NOT_KNOW = "I do not know. You did not tell me."
BEYOND = "I do not know. I am a very small model and know only what you tell me."
WEIGHTS = {"greet": 5, "story": 24, "facts": 34, "beyond": 3, "add": 17, "compare": 9, "json": 12}


def being_and_name(rng, heldout):
    while True:
        being, name = rng.choice(BEINGS), pick_name(rng, heldout)
        if fits(name, being[0]):
            return being, name


# ---- greetings and small talk

def greet(rng, heldout):
    name = pick_name(rng, heldout)
    if heldout:                                                  # only what depends on a name can be held out
        ask, answer = rng.choice([
            (f"Hello, my name is {name}.", f"Hello, {name}! It is nice to meet you. What can I do for you?"),
            (f"Hi, I am {name}.", f"Hi, {name}! Shall I tell you a story?"), (f"My name is {name}. What is my name?", f"Your name is {name}.")])
        return "greet", [("user", ask), ("assistant", answer)]
    able = "I can tell stories, answer questions about what you tell me, add and compare small numbers, and fill in JSON."
    ask, answer = rng.choice([
        (["Hello!", "Hello.", "Hello", "hello", "Hey!"], "Hello! What would you like: a story, a sum, or a question?"),
        (["Hi.", "Hi!", "Hi", "hi", "Hi there!"], "Hi! I can tell a story, answer a question about what you tell me, or add small numbers."),
        ([f"Hello, my name is {name}.", f"Hello! My name is {name}.", f"My name is {name}."], f"Hello, {name}! It is nice to meet you. What can I do for you?"),
        ([f"Hi, I am {name}.", f"Hi! I am {name}.", f"I am {name}."], f"Hi, {name}! Shall I tell you a story?"),
        (["Good morning!", "Good morning."], "Good morning! I hope you slept well. What can I do for you?"),
        (["Good evening.", "Good evening!"], "Good evening! Shall I tell you a story before you sleep?"),
        (["How are you?", "How are you today?", "Hello, how are you?"], "I am fine, thank you. What can I do for you?"),
        (["Who are you?", "What are you?", "What is your name?"], f"I am a very small language model. {able}"),
        (["What can you do?", "Can you help me?", "Help!"], f"I am only small, but {able[0].lower() if able[0] != 'I' else 'I'}{able[1:]}"),
        (["Thank you!", "Thank you.", "Thank you very much."], "You are welcome!"), (["Thanks.", "Thanks!"], "You are welcome! Is there anything else?"),
        (["Goodbye!", "Bye.", "Bye!"], "Goodbye! Come back soon."), (["Good night.", "Good night!"], "Good night! Sleep well."),
        ([f"My name is {name}. What is my name?", f"I am {name}. What is my name?"], f"Your name is {name}."),
        (["What is my name?", "Who am I?"], DO_NOT_KNOW), (["How old am I?", "Where do I live?"], DO_NOT_KNOW),
    ])
    return "greet", [("user", rng.choice(ask)), ("assistant", answer)]


# ---- stories on demand

def story(rng, heldout):
    while True:
        item = thing(rng, heldout)
        being, name = being_and_name(rng, heldout)
        if possible(being[0], item, heldout):
            break
    kind, place = being[0], rng.choice(being[1])
    given, ask = rng.choice([
        ({"item": item}, "about {an_t}"), ({"kind": kind}, "about {an_k}"), ({"kind": kind, "item": item}, "about {an_k} and {an_t}"),
        ({"kind": kind, "item": item}, "about {an_t} and {an_k}"), ({"kind": kind, "name": name}, "about {an_k} called {n}"),
        ({"kind": kind, "name": name, "item": item}, "about {n} the {k} and {an_t}"), ({"kind": kind, "name": name}, "about {n} the {k}"),
        ({"kind": kind, "place": place}, "about {an_k} in {an_p}"), ({"kind": kind, "item": item, "place": place}, "with {an_k}, {an_t} and {an_p}"),
        ({"kind": kind, "name": name, "item": item, "place": place}, "with {an_k} called {n}, {an_t} and {an_p}"), ({}, ""),
    ])
    ask = ask.format(an_t=an(item[0]), an_k=an(kind), n=name, k=kind, an_p=an(place))
    p = Plan(rng, heldout, **given)
    asked = rng.choice(["Tell me a story{}.", "Tell me a story{}.", "Please tell me a story{}.", "Can you tell me a story{}?", "I would like a story{}.", "Write a story{}.",
                        "Write a short story{}.", "Tell me a short story{}.", "A story{}, please.", "tell me a story{}"]).format(" " + ask if ask else "")
    return "story", [("user", asked), ("assistant", tell(p, rng))]


# ---- facts: a few sentences, then a question about them

class Draw:
    """Draws without putting back, so that no two facts share anything."""

    def __init__(self, rng, heldout):
        self.rng, self.heldout, self.used = rng, heldout, set()
        self.names = pick_names(rng, heldout, 9)

    def of(self, words):
        while True:
            word = self.rng.choice(words)
            key = word if isinstance(word, (str, int)) else word[0]
            if key not in self.used:
                self.used.add(key)
                return word

    def thing(self):
        return self.of(THINGS_HELD + THINGS if self.heldout else THINGS)[0]


# Each form of fact: its sentence about a person, and what can be asked about it. {S} is the person (a name, or a pronoun in the sentence),
# {n} always the name. The first question asks what the fact says of the person, so it has no answer where the fact was not told.
def has(d, n):
    t, c = d.thing(), d.of(COLOURS)
    return f"{{S}} has {an(c)} {t}.", [(f"What does {n} have?", f"{n} has {an(c)} {t}."), (f"What colour is the {t}?", f"The {t} is {c}."),
                                      (f"Who has the {t}?", f"{n} has the {t}."), (f"Who has {an(t)}?", f"{n} has {an(t)}.")]


def is_at(d, n):
    p = d.of(sorted(PLACES))
    q = d.of(sorted(PLACES))
    return f"{{S}} is {there(p)}.", [(f"Where is {n}?", f"{n} is {there(p)}."), (f"Who is {there(p)}?", f"{n} is {there(p)}."), (f"Is {n} {there(p)}?", f"Yes, {n} is {there(p)}."),
                                    (f"Is {n} {there(q)}?", f"No, {n} is {there(p)}.")]


def likes(d, n):
    f, g = d.of(FOODS)[1], d.of(FOODS)[1]
    return f"{{S}} likes {f}.", [(f"What does {n} like?", f"{n} likes {f}."), (f"Who likes {f}?", f"{n} likes {f}."), (f"Does {n} like {g} or {f}?", f"{n} likes {f}."),
                                (f"Does {n} like {f} or {g}?", f"{n} likes {f}.")]


def age(d, n):
    y = d.of(list(range(2, 21)))
    return f"{{S}} is {y} years old.", [(f"How old is {n}?", f"{n} is {y} years old."), (f"Who is {y} years old?", f"{n} is {y} years old.")]


def works(d, n):
    j = d.of(JOBS)
    return f"{{S}} is {an(j)}.", [(f"What is the job of {n}?", f"{n} is {an(j)}."), (f"Who is the {j}?", f"{n} is the {j}."), (f"Is {n} {an(j)}?", f"Yes, {n} is {an(j)}.")]


def goes(d, n):
    p, t = d.of(sorted(PLACES)), d.thing()
    he = pronoun(n)
    return f"{{S}} went to the {p} because {he} needed {an(t)}.", [
        (f"Why did {n} go to the {p}?", f"Because {he} needed {an(t)}."), (f"Where did {n} go?", f"{n} went to the {p}."), (f"Who went to the {p}?", f"{n} went to the {p}."),
        (f"What did {n} need?", f"{n} needed {an(t)}.")]


def lives(d, n):
    p = d.of(HOMES)
    return f"{{S}} lives {there(p)}.", [(f"Where does {n} live?", f"{n} lives {there(p)}."), (f"Who lives {there(p)}?", f"{n} lives {there(p)}.")]


def gave(d, n):
    f, g, other = d.of(FOODS)[0], d.of(FOODS)[0], d.of(d.names)
    return f"{{S}} gave {other} {f}.", [(f"What did {n} give away?", f"{n} gave {other} {f}."), (f"Who gave {other} {f}?", f"{n} gave {other} {f}."),
                                       (f"Who got {f}?", f"{other} got {f}."), (f"What did {other} get?", f"{other} got {f}."),
                                       (f"Did {n} give {other} {g}?", f"No, {n} gave {other} {f}.")]


def found(d, n):
    t, p = d.thing(), d.of(sorted(PLACES))
    return f"{{S}} found {an(t)} {there(p)}.", [(f"What did {n} find?", f"{n} found {an(t)}."), (f"Where did {n} find the {t}?", f"{n} found it {there(p)}."),
                                               (f"Who found {an(t)}?", f"{n} found {an(t)}."), (f"What did {n} find {there(p)}?", f"{n} found {an(t)}.")]


def comes(d, n):
    day = d.of(DAYS)
    return f"{{S}} will come on {day}.", [(f"When will {n} come?", f"{n} will come on {day}."), (f"Who will come on {day}?", f"{n} will come on {day}.")]


def kind_of(d, n):
    b, t = d.of([b for b in BEINGS if fits(n, b[0]) and b[0] != "robot"])[0], d.of(TRAITS)
    return f"{{S}} is {an(t)} {b}.", [(f"What kind of animal is {n}?" if b not in ("girl", "boy", "princess", "giant", "witch") else f"What is {n} like?",
                                      f"{n} is {an(t)} {b}."), (f"Who is the {b}?", f"{n} is the {b}."), (f"Who is {t}?", f"{n} is {t}.")]


def lies(d, n):
    """A fact about a thing; n has no part in it."""
    t, c, p = d.thing(), d.of(COLOURS), d.of(sorted(PLACES))
    return f"The {c} {t} is {there(p)}.", [(f"Where is the {t}?", f"The {t} is {there(p)}."), (f"What is {there(p)}?", f"The {c} {t} is {there(p)}."),
                                          (f"What colour is the {t}?", f"The {t} is {c}.")]


FORMS = [has, is_at, likes, age, works, goes, lives, gave, found, comes, kind_of]
ALIKE = {has: {has}, works: {works, kind_of}, kind_of: {works, kind_of},
         goes: {goes, is_at}, is_at: {goes, is_at, lives}, lives: {lives, is_at}, gave: {gave, has}, found: {found, has}}


def facts(rng, heldout):
    """A few sentences, questions that they answer, and questions that they do not."""
    d = Draw(rng, heldout)
    d.used.add(d.names[0])
    n_facts, style = rng.choice([2, 2, 3, 3, 4]), rng.random()
    sentences, asks, unknown = [], [], []
    if style < 0.35:                                             # the same of everybody
        form = rng.choice(FORMS + [lies])
        plan = [(form, None) for _ in range(n_facts if form is not gave else 2)]
    elif style < 0.6:                                            # one person, then with a pronoun; perhaps another one
        forms = rng.sample(FORMS, 2)
        plan = [(forms[0], 0), (forms[1], 0)] + [(rng.choice(forms), 1)] * (n_facts > 2)
    else:
        plan = [(form, None) for form in rng.sample(FORMS + [lies], n_facts)]
    names = [d.names[0]] + [name for name in d.names[1:4]]
    d.used.update(names)
    told = {}
    last = None
    for i, (form, who) in enumerate(plan):
        name = names[i if who is None else who]
        sentence, questions = form(d, name)
        subject = cap(pronoun(name)) if last == name else name
        sentences.append(sentence.replace("{S}", subject))
        asks.append(questions)
        if form is not lies:
            told.setdefault(name, set()).update(ALIKE.get(form, {form}))
            last = name if form not in (gave, goes) else None
        else:
            last = None
    people = list(told) or names[:1]
    for form in FORMS:                                           # what was not told of somebody who was named, or of nobody
        for name in [*people, names[-1]]:
            if form not in told.get(name, ()) and not (name == names[-1] and name in told):
                unknown.append(form(Draw(rng, heldout), name)[1][0][0])
    if unknown and any(u.startswith("What is") for u in unknown):
        unknown = [u for u in unknown if not u.endswith(" like?") or "does" in u]
    return sentences, asks, unknown


def question(rng, heldout):
    sentences, asks, unknown = facts(rng, heldout)
    whole = [sentence.split()[0] not in ("She", "He") for sentence in sentences]
    if all(whole) and rng.random() < 0.5:                        # any order, where no pronoun leans on the sentence before
        order = rng.sample(range(len(sentences)), len(sentences))
        sentences, asks = [sentences[i] for i in order], [asks[i] for i in order]
    text = " ".join(sentences)
    if rng.random() < 0.18:
        kind, rounds = "unknown", [(rng.choice(unknown), DO_NOT_KNOW)]
    else:
        kind, rounds = "question", [rng.choice(rng.choice(asks))]
    if rng.random() < 0.35:                                      # another question before
        first = rng.choice(rng.choice(asks))
        if first[0] != rounds[0][0]:
            rounds.insert(0, first)
    messages = []
    if rng.random() < 0.25:
        messages = [("user", text), ("assistant", "I see. What would you like to know?")]
        text = ""
    for i, (ask, answer) in enumerate(rounds):
        messages += [("user", f"{text} {ask}".strip() if i == 0 else ask), ("assistant", answer)]
    return kind, messages


WORLD_QUESTIONS = ["What is the capital of {}?", "Who is the king of {}?", "How many people live in {}?", "What is the weather like in {}?", "How do I get to {}?",
                   "What do people eat in {}?", "Who won the match against {}?", "Tell me about {}.", "Where is {}?", "How far is it to {}?"]
COUNTRIES = "France Spain Italy Japan India Egypt Kenya Brazil China Poland Greece Turkey Norway Canada Mexico London Paris Rome Berlin Africa Asia Europe America".split()
COUNTRIES_HELD = "Peru Cuba Iran Madrid Tokyo".split()
WORLD_OTHERS = ["Who won the match yesterday?", "How far away is the moon?", "What is the weather like today?", "What time is it?", "What does my neighbour think?",
                "When was the printing press made?", "What is the deepest lake?", "Can you translate this into Latin?", "How do I repair a car?", "What is in the news?",
                "Which team is the best?", "What is the meaning of life?", "How do I cook rice?", "Who wrote this book?", "What is the square root of two?", "Write a program.",
                "Why is the sky blue?", "How does a computer work?", "What year is it?", "Who is the president?", "How do planes fly?", "What is gravity?"]


def beyond(rng, heldout):
    if heldout or rng.random() < 0.6:
        ask = rng.choice(WORLD_QUESTIONS).format(rng.choice(COUNTRIES_HELD if heldout else COUNTRIES))
    else:
        ask = rng.choice(WORLD_OTHERS)
    return "beyond", [("user", ask), ("assistant", BEYOND)]


# ---- numbers

def add(rng, heldout):
    top = 20 if rng.random() < 0.6 else 50
    while True:
        a, b = rng.randint(0, top), rng.randint(0, top)
        if held("add", min(a, b), max(a, b)) == heldout:
            break
    name, counted = pick_name(rng, heldout), rng.choice(COUNTED)
    ask, answer = rng.choice([
        (rng.choice(["What is {a} plus {b}?", "How much is {a} plus {b}?", "Add {a} and {b}.", "What is the sum of {a} and {b}?", "What is {a} + {b}?"]), "{a} plus {b} is {s}."),
        (rng.choice(["{a} + {b} = ?", "{a} + {b}", "{a} + {b} =", "{a}+{b}"]), "{a} + {b} = {s}"),
        ("{n} has {a} {x} and finds {b} more. How many {x} does {n} have now?", "{a} plus {b} is {s}. {n} has {s} {x}."),
        ("There are {a} {x} on the table. {n} puts {b} more there. How many {x} are on the table?", "{a} plus {b} is {s}. There are {s} {x} on the table."),
    ])
    words = {"a": a, "b": b, "s": a + b, "n": name, "x": counted}
    return "add", [("user", ask.format(**words)), ("assistant", answer.format(**words))]


def compare(rng, heldout):
    top = rng.choice([20, 99])
    while True:
        a, b = rng.randint(0, top), rng.randint(0, top)
        if a != b and held("compare", min(a, b), max(a, b)) == heldout:
            break
    (x, y), counted = pick_names(rng, heldout, 2), rng.choice(COUNTED)
    more, less = max(a, b), min(a, b)
    c = rng.choice([n for n in range(top + 1) if n not in (a, b)])
    ask, answer = rng.choice([
        (rng.choice([f"Which is more, {a} or {b}?", f"What is more, {a} or {b}?", f"Which number is bigger, {a} or {b}?"]), f"{more} is more than {less}."),
        (rng.choice([f"Which is less, {a} or {b}?", f"Which number is smaller, {a} or {b}?"]), f"{less} is less than {more}."),
        (f"{x} has {a} {counted}. {y} has {b} {counted}. Who has more?", f"{x if a > b else y} has more, because {more} is more than {less}."),
        (f"{x} has {a} {counted}. {y} has {b} {counted}. Who has less?", f"{y if a > b else x} has less, because {less} is less than {more}."),
        (f"Is {a} more than {b}?", f"Yes, {a} is more than {b}." if a > b else f"No, {a} is less than {b}."),
        (f"Is {a} less than {b}?", f"Yes, {a} is less than {b}." if a < b else f"No, {a} is more than {b}."),
        (f"Which is the biggest: {a}, {b} or {c}?", f"The biggest is {max(a, b, c)}."),
        (f"{x} is {a} years old and {y} is {b} years old. Who is older?", f"{x if a > b else y} is older, because {more} is more than {less}."),
    ])
    return "compare", [("user", ask), ("assistant", answer)]


# ---- JSON

def fill(rng, heldout):
    (being, name), n = being_and_name(rng, heldout), rng.randint(2, 20)
    other = pick_name(rng, heldout)
    item, colour, food, place, job, day = thing(rng, heldout)[0], rng.choice(COLOURS), rng.choice(FOODS)[1], rng.choice(sorted(PLACES)), rng.choice(JOBS), rng.choice(DAYS)
    text, value = rng.choice([
        (f"{name} is {an(being[0])} and {n} years old.", {"name": name, "kind": being[0], "age": n}),
        (f"{name} has {an(colour)} {item}.", {"owner": name, "thing": item, "colour": colour}),
        (f"{name} buys {n} boxes of {food}.", {"buyer": name, "food": food, "boxes": n}),
        (f"The {item} of {name} is {there(place)}.", {"thing": item, "owner": name, "place": place}),
        (f"{name} is {an(job)} and lives {there(place)}.", {"name": name, "job": job, "place": place}),
        (f"{name} will come on {day} with {an(item)}.", {"name": name, "day": day, "thing": item}),
        (f"The {being[0]} {name} likes {food}.", {"name": name, "kind": being[0], "food": food}),
        (f"On {day} {name} found {an(item)} {there(place)}.", {"day": day, "name": name, "thing": item, "place": place}),
        (f"{name} sold {an(item)} to {other} for {n} coins.", {"seller": name, "buyer": other, "thing": item, "price": n}),
        (f"{name}, {n} years old, wants {an(colour)} {item}.", {"name": name, "age": n, "thing": item, "colour": colour}),
    ])
    keys = rng.sample(list(value), len(value) if rng.random() < 0.7 else len(value) - 1)
    value = {key: value[key] for key in keys}
    empty = json.dumps({key: 0 if isinstance(of, int) else "" for key, of in value.items()})
    ask = rng.choice(["Fill in {k}: {t}", "Make JSON with {k} from this: {t}", "{t} Give me JSON with {k}.", "Fill in this JSON: {e} {t}", "{t} Fill in: {e}"])
    return "json", [("user", ask.format(k=", ".join(keys), t=text, e=empty)), ("assistant", json.dumps(value))]


KINDS = {"greet": greet, "story": story, "facts": question, "beyond": beyond, "add": add, "compare": compare, "json": fill}
SYSTEMS = ["You are a helpful assistant.", "You are a small and friendly assistant.", "Answer briefly."]


def talk(rng, heldout=False, only=None):
    """One conversation. Held-out ones have one topic; in training some have two or three, and some a system message."""
    def pick():
        return KINDS[only or rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]]

    kind, messages = pick()(rng, heldout)
    if not heldout:
        while rng.random() < 0.25 and sum(len(text.split()) for _, text in messages) < 150:
            messages = pick()(rng, False)[1] + messages
        if rng.random() < 0.06:
            messages = [("system", rng.choice(SYSTEMS)), *messages]
    return kind, messages


def render(messages):
    """The text of a conversation, as the chat template writes it."""
    return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in messages)
