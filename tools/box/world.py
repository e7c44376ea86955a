# SPDX-License-Identifier: MIT
"""The words of the little world that the model in the box is taught: who lives there, what things there are, where things and people can be.

Owns the lists and what is held out: names and things that training never sees, and one combination in ten (`held`). Knows nothing of stories,
talks or chance beyond the generator it is handed.
"""
import hashlib


def held(*parts):
    """One combination in ten is held out, by its text."""
    digest = hashlib.sha256("\0".join(str(p) for p in parts).encode()).digest()
    return digest[0] % 10 == 0


NAMES_SHE = ("Mia Lina Ella Nora Lucy Rosa Ida Emma Anna Clara Zoe Maya Greta Lena Alma Vera Ruth Pia Edith Amina Yuki Ines Freya Selma Tess Hanna Stella "
             "Flora Marta Elsa Nelly Kira Lily Sara Molly Grace Julia Eva Dora Mina").split()
NAMES_HE = ("Tom Ben Max Finn Sam Leo Paul Hugo Otto Jack Karl Felix Oscar Theo Noah Milo Emil Jonas Ravi Kofi Omar Diego Bruno Arun Anton Willy Mateo Kaspar "
            "Igor Louis Peter Moritz Tim Adam Luke Victor Simon Bob Rufus Nico").split()
NAMES_SHE_HELD = "Wilma Odette Mabel Priya Sofia Bella".split()
NAMES_HE_HELD = "Casper Tariq Sven Enzo Martin Basil".split()

# Made-up names, so that a name is something to copy and not one word of a short list. What they end in says she or he.
HEADS = "B Br C D Dr F Fl G Gr H J K Kl L M N P Pr Qu R S Sh St T Th Tr V W Y Z".split()
MIDDLES = "al am an ar as ed el em en er il im in ir ob ol om on or ud ul um un ur".split()
TAILS_SHE = "a ia ina ella ea issa".split()
TAILS_HE = "o us in or ok ard".split()


def made_up(rng, heldout):
    """A made-up name; one in ten of all that are possible is held out."""
    while True:
        name = rng.choice(HEADS) + rng.choice(MIDDLES) + rng.choice(["", "", "d", "l", "m", "n", "r", "t"]) + rng.choice(TAILS_SHE + TAILS_HE)
        if len(name) <= 8 and held("name", name) == heldout and name not in ALL_NAMES:
            return name


ALL_NAMES = set(NAMES_SHE + NAMES_HE + NAMES_SHE_HELD + NAMES_HE_HELD)


def is_she(name):
    if name in ALL_NAMES:
        return name in NAMES_SHE or name in NAMES_SHE_HELD
    return name.endswith("a")


def pick_name(rng, heldout):
    if rng.random() < 0.35:
        return made_up(rng, heldout)
    return rng.choice(NAMES_SHE_HELD + NAMES_HE_HELD if heldout else NAMES_SHE + NAMES_HE)


def pick_names(rng, heldout, n):
    names = []
    while len(names) < n:
        name = pick_name(rng, heldout)
        if name not in names:
            names.append(name)
    return names


def pronoun(name, kind="child"):
    return "it" if kind == "robot" else "she" if is_she(name) else "he"


def fits(name, kind):
    """Girls have girls' names and boys have boys'; everybody else has any."""
    return not (kind in ("girl", "princess", "witch", "hen") and not is_she(name)) and not (kind == "boy" and is_she(name))


# kind: (word, homes, what it can do well)
BEINGS = [
    ("girl", ["village", "town", "farm"], "counting"), ("boy", ["village", "town", "farm"], "climbing"), ("princess", ["castle", "tower"], "counting"),
    ("fox", ["forest", "valley"], "running"), ("rabbit", ["meadow", "forest"], "digging"), ("bear", ["forest", "mountain"], "lifting"),
    ("mouse", ["mill", "kitchen", "barn"], "squeezing through small holes"), ("owl", ["forest", "tower"], "seeing in the dark"),
    ("cat", ["town", "farm"], "climbing"), ("dog", ["farm", "village"], "following a smell"), ("duck", ["pond", "river"], "swimming"),
    ("frog", ["pond", "swamp"], "jumping"), ("squirrel", ["park", "forest"], "climbing"), ("hedgehog", ["garden", "park"], "waiting quietly"),
    ("robot", ["workshop", "town"], "lifting"), ("dragon", ["mountain", "cave"], "making fire"), ("goat", ["mountain", "farm"], "jumping"),
    ("turtle", ["beach", "pond"], "swimming"), ("crow", ["field", "tower"], "flying"), ("mole", ["garden", "field"], "digging"),
    ("pony", ["farm", "meadow"], "running"), ("bird", ["garden", "forest"], "flying"), ("elephant", ["jungle", "zoo"], "lifting"),
    ("monkey", ["jungle", "zoo"], "climbing"), ("lion", ["zoo", "desert"], "running"), ("otter", ["river", "lake"], "swimming"),
    ("wolf", ["forest", "mountain"], "following a smell"), ("pig", ["farm", "barn"], "following a smell"), ("hen", ["farm", "barn"], "waiting quietly"),
    ("bat", ["cave", "tower"], "seeing in the dark"), ("giant", ["mountain", "valley"], "lifting"), ("witch", ["forest", "swamp"], "making fire"),
]
TRAITS = ["small", "brave", "shy", "curious", "kind", "clumsy", "cheerful", "patient", "stubborn", "quiet", "clever", "lazy", "proud", "friendly", "careful",
          "dreamy", "polite", "young", "merry", "gentle"]
COLOURS = ["red", "blue", "green", "yellow", "white", "black", "brown", "golden", "purple", "orange", "pink", "grey", "silver"]
WEATHER = ["sunny", "windy", "rainy", "cold", "foggy", "warm", "stormy", "snowy"]
TIMES = ["morning", "afternoon", "evening", "day"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
FEELINGS = ["sad", "angry", "worried", "unhappy", "upset"]

# place: the word that goes before "the <place>" for things and people that are there
PLACES = {"attic": "in", "garden": "in", "cellar": "in", "river": "by", "school": "at", "library": "in", "well": "by", "bedroom": "in", "kitchen": "in",
          "tower": "in", "shop": "in", "barn": "in", "workshop": "in", "beach": "on", "lake": "by", "market": "at", "bakery": "in", "park": "in",
          "station": "at", "bridge": "on", "island": "on", "hill": "on", "museum": "in", "forest": "in", "castle": "in", "farm": "on", "field": "in",
          "cave": "in", "mill": "in", "village": "in", "town": "in", "meadow": "in", "mountain": "on", "pond": "by", "zoo": "at", "harbour": "at",
          "valley": "in", "swamp": "in", "jungle": "in", "desert": "in", "hospital": "in", "theatre": "in", "church": "in", "hall": "in"}
HOMES = sorted({home for being in BEINGS for home in being[1]})

# thing: (noun, where it is kept, what it is good for)
THINGS = [
    ("kite", "attic", "to fly it over the hill"), ("ball", "garden", "to play on the grass"), ("lamp", "cellar", "to read at night"),
    ("boat", "river", "to sail to the island"), ("drum", "school", "to make music"), ("book", "library", "to read to the little ones"),
    ("key", "well", "to open the garden gate"), ("coat", "bedroom", "to stay warm in winter"), ("basket", "kitchen", "to carry apples"),
    ("bell", "tower", "to call everybody to dinner"), ("hat", "shop", "to keep the sun away"), ("spoon", "kitchen", "to stir the soup"),
    ("rope", "barn", "to climb down the rocks"), ("wheel", "workshop", "to mend the cart"), ("map", "library", "to find the hidden lake"),
    ("flute", "attic", "to play a song"), ("blanket", "bedroom", "to sleep in the open"), ("bucket", "barn", "to water the flowers"),
    ("ladder", "barn", "to pick the cherries"), ("mirror", "shop", "to see round the corner"), ("shell", "beach", "to hear the sea"),
    ("ring", "lake", "to show it to everybody"), ("scarf", "shop", "to keep warm in the wind"), ("puppet", "theatre", "to play theatre"),
    ("lantern", "cellar", "to walk home in the dark"), ("whistle", "school", "to call the others"), ("cart", "farm", "to bring hay to the barn"),
    ("clock", "station", "to be on time"), ("chair", "kitchen", "to rest in the sun"), ("pot", "kitchen", "to cook soup"), ("cup", "kitchen", "to drink tea"),
    ("bag", "market", "to carry bread"), ("box", "attic", "to keep little secrets"), ("pen", "school", "to write letters"), ("brush", "workshop", "to paint the fence"),
    ("broom", "cellar", "to sweep the yard"), ("hammer", "workshop", "to build a hut"), ("shovel", "garden", "to dig a pond"), ("sled", "hill", "to race down the hill"),
    ("bike", "park", "to ride to the market"), ("crown", "castle", "to play king"), ("doll", "bedroom", "to play at home"), ("cake pan", "bakery", "to bake a cake"),
    ("tent", "meadow", "to sleep under the stars"), ("pillow", "bedroom", "to sleep well"), ("stone", "river", "to remember the summer"),
    ("feather", "forest", "to write like a poet"), ("jar", "cellar", "to keep honey"), ("candle", "church", "to light the room"), ("net", "harbour", "to catch fish"),
    ("telescope", "tower", "to look at the stars"), ("guitar", "attic", "to sing with friends"), ("trumpet", "theatre", "to wake the village"),
    ("button", "shop", "to mend a coat"), ("glove", "field", "to throw snowballs"), ("boot", "swamp", "to walk in the rain"), ("flag", "island", "to greet the ships"),
    ("wagon", "farm", "to bring wood home"), ("toy train", "museum", "to play on rainy days"), ("seed", "garden", "to grow a tall flower"),
    ("letter", "station", "to tell the news to grandmother"), ("picture", "museum", "to hang it on the wall"), ("coin", "market", "to buy warm bread"),
    ("pearl", "beach", "to give it to mother"), ("raft", "lake", "to cross the water"), ("swing", "park", "to swing up to the sky"), ("bottle", "hospital", "to carry water"),
    ("cookie jar", "kitchen", "to share cookies"), ("snow globe", "shop", "to dream of winter"), ("magic wand", "cave", "to do a little magic"),
    ("paper plane", "school", "to send it over the roofs"), ("teapot", "kitchen", "to have friends for tea"), ("backpack", "station", "to go on a journey"),
    ("sock", "bedroom", "to have two warm feet"), ("music box", "attic", "to fall asleep to its song"), ("star map", "library", "to name the stars"),
]
THINGS_HELD = [("compass", "harbour", "to find the way north"), ("violin", "attic", "to play at the wedding"), ("umbrella", "shop", "to stay dry"),
               ("camera", "market", "to take pictures"), ("mask", "theatre", "to play a ghost"), ("wooden horse", "barn", "to ride round the yard")]

# food: (one helping, what somebody likes)
FOODS = [("an apple", "apples"), ("a pear", "pears"), ("a plum", "plums"), ("a piece of cake", "cake"), ("a slice of bread", "bread"),
         ("a piece of cheese", "cheese"), ("a bowl of soup", "soup"), ("a pot of honey", "honey"), ("a carrot", "carrots"), ("a handful of nuts", "nuts"),
         ("a berry pie", "berry pie"), ("a pancake", "pancakes"), ("a cookie", "cookies"), ("a banana", "bananas"), ("an orange", "oranges"), ("a fish", "fish"),
         ("an egg", "eggs"), ("a cup of rice", "rice"), ("a bunch of grapes", "grapes"), ("a tomato", "tomatoes")]
COUNTED = ["apples", "nuts", "plums", "shells", "balls", "pears", "eggs", "books", "stones", "coins", "cookies", "flowers", "fish", "buttons", "candles", "carrots"]
JOBS = ["baker", "teacher", "doctor", "farmer", "painter", "sailor", "gardener", "singer", "cook", "builder", "postman", "writer", "pilot", "tailor"]


def thing(rng, heldout):
    return rng.choice(THINGS_HELD if heldout and rng.random() < 0.6 else THINGS)


def an(word):
    return ("an " if word[0] in "aeiouAEIOU" else "a ") + word


def cap(text):
    return text[0].upper() + text[1:]


def there(place):
    """In, on, at or by the place."""
    return f"{PLACES[place]} the {place}"


def at(place):
    """The same for a place not heard of before."""
    return f"{PLACES[place]} {an(place)}"
