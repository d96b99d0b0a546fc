"""Everyday values of the attributes that persona sentences mention: other jobs, foods, places for `opposites` to put in.

A small corpus mentions too few of each to learn from that another value contradicts. Not here: finding attributes (`rewriting.py`).
"""

from __future__ import annotations

_TABLE = """
job: teacher, nurse, doctor, lawyer, waiter, chef, police officer, farmer, truck driver, dentist, carpenter, banker,
  hairdresser, software engineer, mechanic, pilot, librarian, plumber, artist, secretary, journalist, firefighter,
  baker, photographer, pharmacist, gardener, soldier, actor, cashier, student
favorite food: pizza, sushi, steak, pasta, tacos, ice cream, chicken, salad, curry, soup, chocolate, lasagna, seafood,
  burgers, rice, pancakes, cheese, bread, ramen, noodles
favorite color: red, blue, green, yellow, orange, purple, pink, black, white, grey, brown, teal
favorite music: country, rock, jazz, rap, pop, metal, classical, reggae, folk, blues, punk, techno
favorite sport: football, tennis, hockey, swimming, baseball, golf, soccer, basketball, boxing, volleyball
favorite season: spring, summer, autumn, winter
favorite movie: titanic, frozen, star wars, the godfather, jaws, avatar, grease, rocky, shrek, psycho
favorite band: the beatles, queen, metallica, nirvana, coldplay, u2, abba, oasis, blur, green day
favorite animal: dog, cat, horse, elephant, dolphin, tiger, rabbit, wolf, owl, panda
favorite drink: coffee, tea, beer, wine, milk, lemonade, water, soda
home: texas, new york, canada, london, florida, paris, ohio, germany, california, mexico, chicago, australia, boston,
  alaska, japan, seattle, spain, georgia, denver, maine
name: john, mary, peter, anna, tom, susan, mike, laura, david, emma, carl, alice
car: ford, honda, tesla, truck, jeep, bmw, toyota, van, volvo, porsche
"""
VALUES: dict[str, tuple[str, ...]] = {
    kind: tuple(value.strip() for value in values.split(","))
    for kind, _, values in (line.partition(":") for line in _TABLE.replace("\n  ", " ").strip().splitlines())
}
"""By the names of attributes that `hfmeta.corpora.rewriting.slot_of` gives."""

SENTENCES: dict[str, tuple[str, ...]] = {
    "job": ("i am a {}", "i work as a {}"),
    "home": ("i live in {}",),
    "name": ("my name is {}",),
    "car": ("i drive a {}",),
}
"""How a persona states a value; for favorites it is "my <attribute> is <value>"."""


def half_of_values(part: int) -> dict[str, list[str]]:
    """Every second value of each attribute, so that two parts of a data set have none in common.

    Args:
        part: 0 or 1.
    """
    return {kind: list(values[part::2]) for kind, values in VALUES.items()}
