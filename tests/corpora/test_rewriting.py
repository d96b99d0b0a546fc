"""Checks of hfmeta/corpora/rewriting.py on sentences as persona descriptions have them."""

from __future__ import annotations

import pytest

from hfmeta.corpora.rewriting import (
    about_another,
    as_a_turn,
    fillers,
    opposites,
    plain,
    question,
    same_meaning,
    slot_of,
    with_articles,
)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("I am a VEGAN .", "i am a vegan"),
        ("i 'm  40 years old.", "i am 40 years old"),
        ("I don\u2019t drink ...", "i do not drink"),
        ("My favourite food is pizza.", "my favorite food is pizza"),
        ("i can't swim, i won't try", "i cannot swim, i will not try"),
    ],
)
def test_plain(given, expected):
    assert plain(given) == expected


@pytest.mark.parametrize(
    ("sentence", "slot"),
    [
        ("My favorite food is pizza.", ("favorite food", "pizza")),
        ("My favourite music genre is death metal .", ("favorite music genre", "death metal")),
        ("I am a school teacher.", ("job", "school teacher")),
        ("I work as a car salesman.", None),
        ("I am a nurse", ("job", "nurse")),
        ("i am a cancer survivor.", None),
        ("I live in alaska.", ("home", "alaska")),
        ("I live in a house.", None),
        ("I am 24 years old.", ("age", "24")),
        ("I love to bake cookies.", ("liking", "to bake cookies")),
        ("My name is george.", ("name", "george")),
        ("I drive a bmw.", ("car", "bmw")),
        ("The holidays make me depressed.", None),
    ],
)
def test_slots(sentence, slot):
    assert slot_of(sentence) == slot


def test_fillers_are_sorted_and_distinct():
    found = fillers(
        ["My favorite food is pizza.", "my favorite food is curry", "My favorite food is pizza", "I sleep."]
    )
    assert found == {"favorite food": ["curry", "pizza"]}


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("I love dogs.", "i really like dogs"),
        ("My favorite color is blue.", "blue is my favorite color"),
        ("I have three sisters.", "i have got three sisters"),
        ("I live in canada.", "my home is in canada"),
        ("I am a nurse.", "i work as a nurse"),
        ("I hate school.", "i cannot stand school"),
    ],
)
def test_the_same_in_other_words(sentence, said):
    made = same_meaning(sentence)
    assert said in made
    assert plain(sentence) not in made
    assert len(set(made)) == len(made)


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("I love dogs.", "i cannot stand dogs"),
        ("I hate school.", "i love school"),
        ("I do not drink alcohol.", "i drink alcohol"),
        ("I am married.", "i am single"),
        ("I am a woman.", "i am a man"),
        ("I have two dogs.", "i have no dogs"),
        ("I have two dogs.", "i have five dogs"),
        ("I have a cat.", "i do not have a cat"),
        ("I am 24 years old.", "i am 44 years old"),
        ("My favorite color is blue.", "my favorite color is red"),
        ("I am a doctor.", "i am an actor"),
        ("I live in alaska.", "i live in texas"),
        ("I have never been out of ohio.", "i have often been out of ohio"),
        ("My mother is a dentist.", "my mother is not a dentist"),
    ],
)
def test_the_opposite(sentence, said):
    values = {"favorite color": ["red", "navy blue"], "job": ["doctor", "actor"], "home": ["texas"]}
    made = opposites(sentence, values)
    assert said in made
    assert plain(sentence) not in made


def test_what_does_not_exclude_each_other_is_no_opposite():
    assert not any("cat" in one for one in opposites("I love dogs.", {"liking": ["cats"]}))
    assert "my favorite color is navy blue" not in opposites(
        "My favorite color is blue.", {"favorite color": ["navy blue"]}
    )
    assert "my father is a dentist" not in opposites("My mother is a dentist.", {})


@pytest.mark.parametrize(
    ("sentence", "asked"),
    [
        ("I am a nurse.", "are you a nurse ?"),
        ("I like my job.", "do you like your job ?"),
        ("My favorite food is pizza.", "is your favorite food pizza ?"),
        ("Knitting is fun.", None),
    ],
)
def test_questions(sentence, asked):
    assert question(sentence) == asked


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("I have two dogs.", "my brother has two dogs"),
        ("I live with my wife.", "my brother lives with her wife"),
        ("I am a nurse.", "my brother is a nurse"),
        ("My mother is a dentist.", "my brother is a dentist"),
        ("My brother is a dentist.", None),
        ("My favorite food is pizza.", "my brother said that her favorite food is pizza"),
        ("Knitting is fun.", None),
    ],
)
def test_about_somebody_else(sentence, told):
    assert about_another(sentence, 0) == told


def test_turns_hold_the_sentence():
    made = {as_a_turn("I have two dogs.", number) for number in range(30)}
    assert len(made) == 13
    assert all("i have two dogs" in turn for turn in made)


def test_articles():
    assert with_articles("i am a actor and an nurse") == "i am an actor and a nurse"
