"""Small dialogue corpora in the true file formats: Persona-Chat, Synthetic-Persona-Chat, MojiTalk, TweetEval emoji.

Tests import it as `from tiny_dialogues import write_persona_chat`; everything is made by arithmetic, nothing is drawn.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

THINGS = ["tea", "cats", "books", "chess", "trains", "soup", "maps", "songs", "bread", "hats", "ships", "snow"]
EMOJI = ["😂", "❤", "😭", "🔥", "🙏", "💯", "🎶", "😎", "👀", "✨"]


def persona(user: int, words: Sequence[str] = ("like", "own", "draw", "sell")) -> list[str]:
    """Four sentences of a user; no two users share one."""
    return [f"i {word} {THINGS[user % 12]} number {user}." for word in words]


def subset(user: int, number: int) -> list[str]:
    """The description in one dialogue: three of the four sentences, in an order of its own; any two share two."""
    sentences = persona(user)
    del sentences[number % 4]
    return sentences[number % 3 :] + sentences[: number % 3]


def write_persona_chat(
    folder: Path,
    part: str = "train",
    users: int = 4,
    dialogues: int = 3,
    exchanges: int = 3,
    personas: str = "self",
    wording: str = "original",
    candidates: bool = False,
) -> Path:
    """A raw file of Persona-Chat; user u has dialogues u, u + users, ...; what they say names user, dialogue and turn."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(dialogues):
        for user in range(users):
            lines += _dialogue(user, number, users, exchanges, personas, candidates)
    path = folder / f"{part}_{personas}_{wording}{'' if candidates else '_no_cands'}.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _dialogue(user: int, number: int, users: int, exchanges: int, personas: str, candidates: bool) -> list[str]:
    own = [f"your persona: {one}" for one in subset(user, number)] if personas in ("self", "both") else []
    other = (user + 1) % users
    partner = [f"partner's persona: {one}" for one in subset(other, number)] if personas in ("other", "both") else []
    lines = [*own, *partner]
    for turn in range(exchanges):
        reply = f"my {THINGS[user % 12]} are fine , d {number} t {turn}"
        said = "__SILENCE__" if turn == 0 and number == 1 else f"how is it , u {user} d {number} t {turn} ?"
        tail = f"\t\tno .|maybe .|{reply}" if candidates else ""
        lines.append(f"{said}\t{reply}{tail}")
    return [f"{place} {line}" for place, line in enumerate(lines, start=1)]


def write_synthetic(folder: Path, users: int = 10, rounds: int = 2, turns: int = 6) -> Path:
    """The CSV of Synthetic-Persona-Chat: in round r, user u speaks with user u + 1 + r; every dialogue has `turns` turns."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "Synthetic-Persona-Chat_valid.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["user 1 personas", "user 2 personas", "Best Generated Conversation"])
        for number in range(rounds):
            for user in range(users):
                pair = (user, (user + 1 + number) % users)
                said = [
                    f"User {1 + t % 2}: It's {THINGS[pair[t % 2] % 12]}, turn {t} of {user}-{number}!"
                    for t in range(turns)
                ]
                cells = ["\n".join(one.capitalize() for one in subset(u, number)) for u in pair]
                writer.writerow([*cells, "\n".join(said)])
    return path


def write_mojitalk(folder: Path, pairs: Sequence[int] = (12, 11, 10, 9, 8, 7, 6, 5)) -> Path:
    """MojiTalk's files: emoji e has pairs[e] pairs, spread over train, dev and test."""
    folder.mkdir(parents=True, exist_ok=True)
    sides: dict[str, list[str]] = {f"{name}.{end}": [] for name in ("train", "dev", "test") for end in ("ori", "rep")}
    for place, count in enumerate(pairs):
        for number in range(count):
            name = ("train", "train", "dev", "test")[number % 4]
            sides[f"{name}.ori"].append(f"{EMOJI[place]} what about {THINGS[place]} {number}")
            sides[f"{name}.rep"].append(f"{THINGS[place]} it is {number}")
    for name, lines in sides.items():
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    tokens = ["<unk>", "<s>", "</s>", *EMOJI[: len(pairs)], "what", "about", "!", "→", "™", *THINGS]
    (folder / "vocab.ori").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return folder


def write_tweet_eval(folder: Path, emoji: int = 10, tweets: int = 4) -> Path:
    """TweetEval's emoji files: so many tweets of every emoji in each part."""
    folder.mkdir(parents=True, exist_ok=True)
    mapping = [f"{number}\t{EMOJI[number]}\t_emoji_{number}_" for number in range(emoji)]
    (folder / "mapping.txt").write_text("\n".join(mapping) + "\n", encoding="utf-8")
    for part in ("train", "val", "test"):
        labels = [number % emoji for number in range(emoji * tweets)]
        texts = [f"{part} {place} about {THINGS[label]} @ home" for place, label in enumerate(labels)]
        (folder / f"{part}_text.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
        (folder / f"{part}_labels.txt").write_text("\n".join(map(str, labels)) + "\n", encoding="utf-8")
    return folder
