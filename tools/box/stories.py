# SPDX-License-Identifier: MIT
"""Small stories from a grammar: somebody wishes for something, something stands in the way, a first try fails for a reason, somebody helps for a
reason, and it has consequences. A story is a plan (who, what, where, why) and then sentences chosen for it, so that what is told hangs together.

Owns the plots and their sentences. In a sentence {A} is the hero, {he} {him} {his} the hero's pronouns ({He}, {His} at the start of a
sentence), {ka} the hero's kind; {B}, {bhe} {bhim} {bhis} and {kb} are the friend's, {C} and {kc} the third one's; {t} is the thing, {use} what it is
good for, {c} its colour. A pronoun is used only where nobody else was named between.
"""
from functools import partial

from world import BEINGS, COLOURS, DAYS, FEELINGS, FOODS, TIMES, TRAITS, WEATHER, an, at, cap, fits, held, pick_name, pronoun, there, thing

POSSESSIVE = {"she": "her", "he": "his", "it": "its"}
OBJECT = {"she": "her", "he": "him", "it": "it"}

# what stands in the way: (what is wrong, why the first try fails, which skill helps, how it is solved)
OBSTACLES = [
    ("it lay on a high shelf", "the shelf was too high to reach", "climbing", "climbed up and brought it down"),
    ("it hung from the roof", "the wall was too steep", "climbing", "climbed up the wall and pulled it off"),
    ("it had fallen into a deep hole", "the hole was too deep", "digging", "dug a little tunnel from the side"),
    ("it was buried under the sand", "the sand slipped back again and again", "digging", "dug and dug until a corner of it looked out"),
    ("a heavy stone lay on it", "the stone was too heavy", "lifting", "lifted the stone with one push"),
    ("a tree had fallen on it", "the tree was too heavy", "lifting", "lifted the tree a little, and that was enough"),
    ("it was on the other side of the river", "the water was too cold and too fast", "swimming", "swam across and brought it back"),
    ("it was drifting on the water, far from the bank", "the water was too deep", "swimming", "swam out and pushed it back to the bank"),
    ("it was stuck in the top of a tree", "the branches were too thin", "flying", "flew up and shook it loose"),
    ("the wind had carried it onto a chimney", "the chimney was too high", "flying", "flew up and dropped it into the soft grass"),
    ("it was locked in a dark room", "it was too dark to see anything in there", "seeing in the dark", "looked around in the dark and found it at once"),
    ("a thief had carried it away", "the thief was much too fast", "running", "ran as fast as the wind and caught the thief"),
    ("it was rolling down the road on a cart", "the cart was too fast", "running", "ran after the cart and stopped it"),
    ("it had slipped behind a wall", "the gap was too narrow", "squeezing through small holes", "squeezed through the gap and pushed it out"),
    ("it was nowhere to be seen", "there were too many places to look", "following a smell", "sniffed at the ground and followed the trail right to it"),
    ("it lay on a rock in the middle of a swamp", "the mud was too soft to walk on", "jumping", "jumped from stone to stone and fetched it"),
    ("it was frozen into the ice", "the ice was as hard as iron", "making fire", "made a little fire and melted the ice"),
    ("it lay beside a sleeping watchdog", "the dog woke up at every step", "waiting quietly", "waited quietly until the dog had gone away"),
    ("it was hidden under one of a hundred stones", "there were far too many stones", "counting", "counted the stones in rows until the right one was found"),
]

# why one helps another: (what is told, what is said)
REASONS = [
    ("{A} had once shared a meal with {B}", "You shared your meal with me when I was hungry."),
    ("{B} often had nobody to talk to", "I am glad that somebody asks me."),
    ("{A} promised to help {B} the next day", "Then we will help each other."),
    ("{B} knew how it feels to lose something", "I lost something too, last year."),
    ("{A} had asked so politely", "Nobody has ever asked me so nicely."),
    ("{B} liked hard tasks", "A hard task! I love hard tasks."),
    ("{B} thought that friends should help each other", "That is what friends are for."),
    ("{B} was good at {skill}", "That is easy for me."),
]
LESSONS = {
    "help": ["that it is good to ask for help", "that everybody is good at something", "that two can do more than one", "that a friend is worth more than a treasure",
             "that a kind word opens doors"],
    "wait": ["that waiting can be part of the way", "that it is a pity to give up too early", "that good things take time", "that little steps lead far"],
    "share": ["that sharing makes a small thing big", "that a thing is more fun with two", "that a friend is worth more than a thing", "that saying sorry is not hard"],
    "truth": ["that the truth is easier to carry than a lie", "that it is brave to tell the truth", "that everybody makes mistakes", "that saying sorry is not hard"],
    "brave": ["that being brave means to be afraid and to go on", "that fear gets smaller when you share it", "that the dark is not so bad with a friend"],
    "give": ["that giving can be better than having", "that honest finders make good friends", "that a kind deed comes back one day"],
}


NOT_MADE = {"stone", "seed", "coin", "pearl", "feather", "shell", "letter", "glove", "boot", "button", "ring", "sock", "rope"}  # nor broken


class Somebody:
    def __init__(self, being, name, trait):
        self.kind, self.homes, self.skill = being
        self.name, self.trait, self.he = name, trait, pronoun(name, being[0])
        self.his, self.him = POSSESSIVE[self.he], OBJECT[self.he]


class Plan:
    """Who, what and where. Held out: a kind of hero, a thing and a plot that training never sees together."""

    def __init__(self, rng, heldout=False, kind=None, name=None, item=None, place=None):
        while True:
            self.plot = rng.choice(PLOTS)
            being = next(b for b in BEINGS if b[0] == kind) if kind else rng.choice(BEINGS)
            self.name = name or pick_name(rng, heldout)
            self.item = item or thing(rng, heldout)
            if fits(self.name, being[0]) and suits(self.plot, being[0], self.item, heldout):
                break
        self.a = Somebody(being, self.name, rng.choice(TRAITS))
        self.obstacle = rng.choice([o for o in OBSTACLES if o[2] != being[2]])
        helpers = [b for b in BEINGS if b[2] == self.obstacle[2] and b is not being] if self.plot is retrieve else [b for b in BEINGS if b is not being]
        self.b = self.somebody(rng, heldout, helpers)
        self.c = self.somebody(rng, heldout, [b for b in BEINGS if b is not being and b[0] != self.b.kind])
        self.place = place or rng.choice(being[1])
        a, b, c = self.a, self.b, self.c
        self.words = {
            "A": a.name, "he": a.he, "him": a.him, "his": a.his, "He": cap(a.he), "His": cap(a.his), "ka": a.kind, "an_a": an(a.trait), "ta": a.trait,
            "B": b.name, "bhe": b.he, "bhim": b.him, "bhis": b.his, "Bhe": cap(b.he), "kb": b.kind, "an_kb": an(b.kind), "an_b": an(b.trait), "tb": b.trait,
            "C": c.name, "che": c.he, "kc": c.kind, "an_kc": an(c.kind), "Che": cap(c.he), "skill": b.skill, "an_ka": an(a.kind),
            "t": self.item[0], "use": self.item[2], "an_t": an(self.item[0]), "An_t": cap(an(self.item[0])), "c": (colour := rng.choice(COLOURS)), "an_c": an(colour),
            "here": at(self.place), "Here": cap(at(self.place)), "there": there(self.place), "p": self.place,
            "w": (weather := rng.choice(WEATHER)), "an_w": an(weather), "time": (time := rng.choice(TIMES)), "an_time": an(time), "day": rng.choice(DAYS),
            "bad": rng.choice(FEELINGS), "food": rng.choice(FOODS)[0], "wrong": self.obstacle[0], "fails": self.obstacle[1], "solved": self.obstacle[3],
        }
        reason = rng.choice(REASONS)
        self.words["because"], self.words["says"] = (part.format(**self.words) for part in reason)
        self.words["says_it"] = self.words["says"].removesuffix(".") + ","

    def somebody(self, rng, heldout, beings):
        """Somebody else, with a name that nobody has."""
        taken = [self.name] + ([self.b.name] if hasattr(self, "b") else [])
        while True:
            being, name = rng.choice(beings), pick_name(rng, heldout)
            if name not in taken and fits(name, being[0]):
                return Somebody(being, name, rng.choice([t for t in TRAITS if t != self.a.trait]))


# ---- parts that several plots share

OPENINGS = [
    "Once upon a time there was {an_a} {ka} called {A}. {He} lived {here}.",
    "{Here} lived {an_a} {ka}. {His} name was {A}.",
    "{A} was {an_a} {ka} who lived {here}.",
    "Once there was {an_ka} called {A}. {A} was {ta} and lived {here}.",
    "This is the story of {A}, {an_a} {ka} who lived {here}.",
    "Long ago, {here}, there lived {an_a} {ka} with the name {A}.",
    "Once upon a time, {here}, lived {an_ka} called {A}. Everybody said that {A} was very {ta}.",
    "There was once {an_a} {ka}. {A} was {his} name, and {he} lived {here}.",
    "Do you know {A}? {A} was {an_a} {ka} and lived {here}.",
]
OWNS = [
    "{A} had {an_c} {t}, and {he} needed it {use}.",
    "What {A} loved most was {his} {c} {t}. {He} used it {use}.",
    "{He} owned one thing that was dear to {him}: {an_c} {t}, {use}.",
    "For {his} birthday {he} had been given {an_c} {t}. {He} wanted it {use}.",
    "{A} had found {an_c} {t} one summer and had kept it ever since, {use}.",
    "Every day {A} took out {his} {c} {t} and looked at it. It was good {use}.",
]
WANTS = [
    "More than anything {A} wished for {an_t}, {use}.",
    "{A} had one wish: {he} wanted {an_c} {t}, {use}.",
    "All the others had {an_t}. Only {A} had none, and {he} wanted one so much, {use}.",
    "At night {A} dreamed of {an_c} {t}. With it {he} hoped {use}.",
]
SIDE = [
    "On the way {he} saw two butterflies dancing over the grass.", "A soft rain began to fall, and it smelled of wet leaves.", "Somewhere a bell rang three times.",
    "{He} hummed a little song to keep up {his} courage.", "{He} was hungry, so {he} ate {food} first.", "A small cloud in the sky looked like {an_t}.",
    "The wind was playing with the leaves.", "{He} stepped into a puddle and laughed at {his} own wet feet.", "An old snail said good {time} and went slowly on.",
    "The sun looked out between the clouds.", "Far away somebody was singing.", "Three ants carried a crumb across the path.",
]
MEETINGS = [
    "Then {B} came along, {an_b} {kb}. \"Why are you so {bad}?\" asked {B}.",
    "On the way {A} met {an_kb} called {B}. \"What is the matter?\" asked {B}.",
    "{an_kb!c} called {B} heard it and came closer. \"Can I help you?\" asked the {kb}.",
    "Just then {an_b} {kb} came by. It was {B}. \"You look {bad},\" said {B}. \"Tell me what has happened.\"",
    "Near the path sat {an_kb}. Its friends called it {B}. \"Sit down beside me,\" said {B}, \"and tell me everything.\"",
]
TOGETHER = [
    "Together they ate {food} and talked until it was dark.", "From that day on {A} and {B} were friends.", "The next day {A} gave {B} {food} to say thank you.",
    "And {A} took good care of the {c} {t}.", "They laughed about it for a long time.", "That night both of them slept very well.",
    "Every {day} after that they met {there}.", "{A} and {B} told everybody about it, and everybody wanted to hear it again.",
]


def choose(rng, p, *forms):
    """One of the forms, its words filled in."""
    form = rng.choice(forms)
    words = dict(p.words)
    if form.startswith("{an_kb!c}"):
        form = cap(words["an_kb"]) + form[len("{an_kb!c}"):]
    form = form.replace("Its friends called it {B}", f"{cap(p.b.his)} friends called {p.b.him} {{B}}")
    return form.format(**words).replace("good day and went", "hello and went")


def one_time(rng, p):
    """When it happened."""
    return choose(rng, p, "one {w} {time}", "one {time}", "on {an_w} {time}", "one {day}", "on a {day}")


def moral(rng, p, topic):
    lesson = rng.choice(LESSONS[topic])
    return rng.choice([f"{p.a.name} had learned {lesson}.", f"That evening {p.a.name} knew {lesson}.", f"So {p.a.name} learned {lesson}.",
                       f"Now {p.a.name} knows {lesson}.", "", ""])


def last(rng):
    return rng.choice(["", "", "", "The end.", "And that is the end of the story."])


# ---- plots: each gives its parts in order

def retrieve(p, rng):
    """The thing is out of reach; alone it does not work; who helps can do what the obstacle asks for."""
    s = partial(choose, rng, p)
    return [
        s(*OPENINGS), s(*OWNS),
        f"But {one_time(rng, p)} " + s("the {t} was gone. {A} soon saw why: {wrong}.", "{A} could not get at it: {wrong}.",
                                       "there was trouble with the {t}: {wrong}.", "{A} cried, \"Oh no, my {t}!\" For {wrong}."),
        s("{A} tried to get it back alone, but {fails}. {He} was {bad}.", "First {he} tried it alone. It did not work, because {fails}. That made {him} {bad}.",
          "{He} tried three times, and three times {he} failed, because {fails}. {A} sat down and was {bad}.",
          "\"I can do it alone,\" said {A}. But {fails}, and {he} turned back, {bad} and without {his} {t}."),
        s(*MEETINGS, "Then {A} thought of {B}, the {kb}, who was good at {skill}. So {he} went to see {B} and knocked at the door."),
        s("\"I want my {t} back,\" said {A}, \"but {fails}. Will you help me, please?\"", "{A} told the whole story of the {c} {t}. \"Please help me,\" {he} said.",
          "\"I want my {c} {t} back, but {fails},\" said {A}."),
        s("{B} wanted to help, because {because}. \"{says_it}\" said {B}. Then {bhe} {solved}.",
          "\"{says_it}\" said the {kb}, for {because}. Then {B} {solved}.",
          "Because {because}, {B} did not wait long. {Bhe} {solved}. There was the {t} again!"),
        s("{A} was so happy that {he} danced.", "\"Thank you, {B}!\" cried {A}.", "{A} laughed and hugged the {kb}.", "Now {A} had the {t} again, {use}.") + " " + s(*TOGETHER),
        moral(rng, p, "help"),
    ]


def trade(p, rng):
    """A wish without money: one thing is done for somebody, who gives something that somebody else needs."""
    s = partial(choose, rng, p)
    work = rng.choice([("sweep the floor", "swept the floor"), ("carry the wood", "carried the wood"), ("wash the windows", "washed the windows"),
                       ("paint the door", "painted the door"), ("pick the beans", "picked the beans"), ("feed the chickens", "fed the chickens")])
    need = rng.choice(["a bag of flour", "a warm blanket", "a pot of paint", "a sack of potatoes", "a ball of wool", "a box of nails"])
    return [
        s(*OPENINGS), s(*WANTS),
        f"{cap(one_time(rng, p))} " + s("{he} saw {an_c} {t} at the house of {B}, the {kb}.", "{he} heard that {B}, {an_b} {kb}, had {an_t} to give away."),
        f"\"I will give it to you,\" said {p.b.name}, \"if you bring me {need}.\" " + s("But {A} had no money. {He} was {bad}, but {he} did not give up.",
                                                                                  "{A} had nothing like that at home. Still, {he} went to look for it."),
        s(*SIDE) if rng.random() < 0.4 else "",
        s("So {A} went to {C}, the {kc}.", "Then {A} met {an_kc} called {C}.") + f" \"If you {work[0]} for me,\" said {p.c.name}, \"you can have {need}.\"",
        f"{p.a.name} {work[1]} " + s("until the evening.", "and did not stop until everything was done.", "and sang while {he} worked.")
        + f" {p.c.name} was pleased and gave {p.a.him} {need}.",
        s("{A} ran back to {B} as fast as {he} could.", "Then {A} went back to {B}.") + f" \"Here is {need},\" said {p.a.name}. "
        + s("{B} laughed and gave {him} the {c} {t}.", "\"And here is your {t},\" said {B}. \"You have earned it.\""),
        s("At last {A} had {his} own {t}, {use}.", "{A} was so proud that {he} jumped for joy. Now {he} had {an_t}, {use}.") + " " + s(*TOGETHER),
        moral(rng, p, "wait"),
    ]


def quarrel(p, rng):
    """Two want the same thing; it comes to harm or stays useless; one says sorry; they share."""
    s = partial(choose, rng, p)
    return [
        s(*OPENINGS), s("{His} best friend was {B}, {an_b} {kb}.", "Next door lived {B}, the {kb}, and they played together every day.",
                        "{A} had a friend, {an_kb} called {B}."),
        f"{cap(one_time(rng, p))} " + s("they found {an_c} {t} {there}.", "the two friends found {an_c} {t} in the grass."),
        s("\"It is mine, I saw it first!\" cried {A}. \"No, it is mine!\" cried {B}.", "{A} wanted it {use}. But {B} wanted it too, and neither would let go.",
          "\"I want it {use},\" said {A}. \"But I want it too,\" said {B}, and they began to quarrel."),
        s("They pulled at the {t} until it fell into the mud.", "They shouted so loudly that the birds flew away.", "They pulled from both sides, and both fell into a puddle."),
        s("Then {A} went home, {bad} and alone.", "{B} went one way and {A} went the other way.") + " " + s(*SIDE)
        if rng.random() < 0.5 else s("Then {A} went home and {B} went home, and both of them were {bad}."),
        s("But at home it was boring without a friend.", "That night {A} could not sleep. What good was {an_t} without a friend?"),
        s("The next {time} {A} went to {B} and said, \"I am sorry. A friend is better than {an_t}.\"",
          "In the end {A} knocked at the door of {B}. \"I am sorry,\" {he} said. \"Let us share it.\""),
        s("\"I am sorry too,\" said {B}.", "{B} smiled and said, \"I wanted to say the same.\"") + " "
        + s("They agreed that {A} would have the {t} one day and {B} the next.", "So they cleaned the {t} and used it together, {use}."),
        s("That was much more fun.", "They were happy again.", "And in the evening they ate {food} together."), moral(rng, p, "share"),
    ]


def mistake(p, rng):
    """Something of a friend's gets broken; hiding it makes it worse; telling the truth makes it good."""
    s = partial(choose, rng, p)
    return [
        s(*OPENINGS), s("{His} friend {B}, {an_b} {kb}, had {an_c} {t}.", "{A} had a friend called {B}. {B} was {an_kb} and owned {an_c} {t}."),
        s("{B} was very proud of it and used it {use}.", "{B} needed it {use}."),
        f"{cap(one_time(rng, p))} " + s("{A} took the {t} without asking. Then {he} stumbled over a root, and the {t} broke.",
                                        "{A} wanted to try the {t}. But it slipped, fell to the ground and broke.",
                                        "{A} played with the {t} while {B} was away. There was a crack, and it was broken."),
        s("{A} was afraid and hid it under some leaves.", "Quickly {A} hid it behind a wall.", "{A} did not know what to do and hid it in a bag."),
        s("\"Have you seen my {t}?\" asked {B} the next day. \"No,\" said {A}, but it felt like a stone in {his} belly.",
          "Soon {B} looked for the {t} everywhere. {A} said nothing and looked at the ground.", "\"Where is my {t}?\" asked {B} and looked very sad. {A} kept quiet."),
        s("All day long {A} was {bad}.", "{A} could not eat and could not play.", "That night {A} lay awake for a long time."),
        s("At last {A} went to {B} and told the truth. \"I broke your {t}, and I hid it. I am sorry.\"",
          "Then {A} took a deep breath. \"{B},\" {he} said, \"it was me. I broke your {t}. I am so sorry.\""),
        s("{B} was quiet for a while. Then {bhe} said, \"Thank you for telling me. Let us mend it.\"", "\"I am glad that you told me,\" said {B}. \"{An_t} can be mended.\"",
          "First {B} was angry. But then {bhe} said, \"It was brave to tell me.\""),
        s("They mended it with glue and string, and it was almost as good as new.", "With a little glue and much patience they mended it together.") + " " + s(*TOGETHER),
        moral(rng, p, "truth"),
    ]


def finder(p, rng):
    """A thing is found; it is not the first one's who is asked; the owner is glad and gives something back."""
    s = partial(choose, rng, p)
    return [
        s(*OPENINGS), f"{cap(one_time(rng, p))} " + s("{A} found {an_c} {t} beside the path.", "{A} saw something {c} in the grass. It was {an_t}.",
                                                     "{A} almost fell over {an_c} {t} that lay on the road."),
        s("How beautiful it was! {A} could use it {use}. But it was not {his} own.", "\"With it I could have so much fun,\" thought {A}. \"But somebody must be looking for it.\"",
          "{A} wanted to keep it, {use}. But then {he} thought of the one who had lost it."),
        s("So {he} went to {C}, the {kc}. \"Is this your {t}?\" asked {A}.", "First {A} asked {C}, {an_kc} who lived near by. \"Did you lose {an_t}?\""),
        s("\"No,\" said {C}, \"mine is not {c}.\"", "\"No, I have never had {an_t},\" said {C}.",
          "{C} shook {chis} head. \"It is not mine,\" {che} said.".replace("{chis}", p.c.his)),
        s(*SIDE) if rng.random() < 0.5 else "",
        s("Then {A} heard somebody cry. It was {B}, {an_b} {kb}.", "A little later {A} met {B}, the {kb}, who was looking at the ground and was very sad.",
          "By the old tree sat {B}, {an_b} {kb}, and looked into every hole."),
        s("\"I have lost my {c} {t},\" said {B}. \"I need it {use}.\"", "\"What are you looking for?\" asked {A}. \"For my {c} {t},\" said {B}."),
        s("\"Here it is!\" said {A} and gave it back.", "{A} smiled and gave {B} the {t}."),
        s("{B} was so happy that {bhe} jumped into the air.", "\"Thank you, thank you!\" cried {B}.", "{B} could not believe it and hugged {A}.") + " "
        + s("To say thank you {B} gave {A} {food}.", "\"You may use it whenever you like,\" said {B}.", "\"Come and play with me,\" said {B}, and {A} did."),
        s("Now {A} had found not only {an_t} but also a friend.", "From that day on {A} and {B} were friends.", "In the evening {A} went home and was very content."),
        moral(rng, p, "give"),
    ]


def fear(p, rng):
    """Somebody must fetch the thing from a place that is frightening; a friend comes along; it was only something small."""
    s = partial(choose, rng, p)
    dark = rng.choice([d for d in [("the dark cellar", "a loose window in the wind"), ("the old mill", "a mouse with a nut"), ("the deep forest", "two branches in the wind"),
                       ("the empty house", "a cat that wanted to get out"), ("the dark cave", "water that fell from the roof"), ("the long tunnel",
                         "a frog on a tin can")] if p.place not in d[0]])
    place, cause = dark
    return [
        s(*OPENINGS), f"There was only one thing that {p.a.name} was afraid of: {place}. Strange sounds came out of it at night.",
        f"{cap(one_time(rng, p))} " + s("{A} needed {his} {c} {t}, {use}.", "{A} was looking for {his} {c} {t}. {He} wanted it {use}.")
        + f" But somebody had left it in {place}.",
        s("{A} went up to the entrance. Knock, knock, it went inside! {He} ran away.", "{A} took one step inside. Then something scratched, and {he} ran home.",
          "Three times {A} went there, and three times {he} turned back, because {he} heard a sound."),
        s("\"Why are you shaking?\" asked {B}, {an_b} {kb}.", "On the road {A} met {B}, the {kb}. \"You are quite pale,\" said {B}."),
        f"\"There is a monster in {place},\" " + s("said {A}, \"and my {t} is in there too.\"", "said {A}. \"And I need my {t}.\""),
        s("\"I am a little afraid too,\" said {B}. \"But together we can do it.\"", "\"Let us go together,\" said {B}. \"I will hold your hand.\"",
          "\"We will take a light,\" said {B}, \"and I will stay beside you.\""),
        f"So they went in, step by step. There was the sound again! {p.b.name} held up the light, and what did they see? Only {cause}.",
        s("They laughed until their bellies hurt.", "{A} had to laugh. \"So that was my monster,\" {he} said.") + " " + s("And there lay the {c} {t}.",
          "Right beside it lay the {t}."),
        s("Proudly {A} carried the {t} home.", "Now {A} could use it again {use}.") + " " + s(*TOGETHER), moral(rng, p, "brave"),
    ]


def patience(p, rng):
    """Somebody wants to make the thing; it fails twice for want of care; with advice and time it works."""
    s = partial(choose, rng, p)
    return [
        s(*OPENINGS), s(*WANTS), s("\"Then I will make one myself,\" said {A}.", "There was none to be had anywhere, so {he} decided to make one."),
        f"{cap(one_time(rng, p))} " + s("{he} began. But {he} was in a hurry, and after an hour it fell apart.",
          "{he} took wood, paper and glue. It became crooked and broke at once."),
        s("The second one was even worse. {A} was {bad} and threw it away.", "{A} tried again, but the second one looked like a potato. That made {him} {bad}."),
        s("{B}, {an_b} {kb}, had watched {him}.", "An old neighbour, the {kb} {B}, had seen everything."),
        s("\"You are too fast,\" said {B}. \"Measure first, then cut. And let the glue dry for a night.\"",
          "\"My first one was no better,\" said {B}. \"Do one small step every day.\"",
          "\"Shall I tell you a secret?\" asked {B}. \"Draw it first. Then begin.\""),
        s(*SIDE) if rng.random() < 0.4 else "",
        s("{A} wanted to be done at once, but {he} listened.", "It was hard to wait, but {A} did what {B} had said.") + " "
        + s("It took a whole week.", "On the first day {he} drew, on the second day {he} cut, and on the third day {he} painted.", "Day after day {he} worked a little."),
        s("At last it was ready: {an_c} {t}!", "Then, on a {day}, it stood there: {an_c} {t}, and it was the best in the whole land."),
        s("Now {A} had it, {use}.", "\"I made it myself!\" cried {A} and showed it to everybody.") + " "
        + s("{B} nodded and smiled.", "Of course {B} was the first who was allowed to try it.", "And {B} got {food} for the good advice."), moral(rng, p, "wait"),
    ]


PLOTS = [retrieve, trade, quarrel, mistake, finder, fear, patience]


def suits(plot, kind, item, heldout):
    """Whether the plot can be told of that kind of hero and thing, in that part of the data."""
    return not (item[0] in NOT_MADE and plot in (mistake, patience)) and held(kind, item[0], plot.__name__) == heldout


def possible(kind, item, heldout):
    return any(suits(plot, kind, item, heldout) for plot in PLOTS)


def tell(p, rng):
    """The story of a plan, in one to four paragraphs."""
    while True:
        parts = [part for part in [*p.plot(p, rng), last(rng)] if part]
        if rng.random() < 0.35:                                  # a small side event, somewhere in the first half
            parts.insert(2, choose(rng, p, *[side for side in SIDE if not side.startswith("On the way")]))
        text = " ".join(parts)
        if 78 <= len(text.split()) <= 200 and not any(text.count(side) > 1 for side in parts):
            break
    if rng.random() < 0.3:
        return text
    breaks = set(rng.sample(range(2, len(parts) - 1), rng.choice([1, 2, 3])))
    return "".join(("" if i == 0 else "\n\n" if i in breaks else " ") + part for i, part in enumerate(parts))


def story(rng, heldout=False):
    return tell(Plan(rng, heldout), rng)


if __name__ == "__main__":
    import random
    import sys

    seed = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    for _ in range(12):
        print(story(seed), end="\n\n----\n\n")
