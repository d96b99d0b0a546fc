"""The quickstart's second half: a private adapter for every user. CMAML on a small corpus of people, two strangers side by side.

Run it with `make quickstart`. It writes to out/quickstart/users and needs no network: the people are made here, each with a taste in
five things; one question has another right answer for everybody, so a model that does not adapt can only guess.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from rich.console import Console
from rich.table import Table

from hfmeta import Cmaml, CmamlTrainer, EpisodeDataset, FixedEpisodes, MetaConfig, MetaLearner
from hfmeta.models import Seq2SpgConfig, Seq2SpgForConditionalGeneration, load_model, word_tokenizer
from hfmeta.responses import Decoding, generate

OUT = Path("out/quickstart/users")
STEPS = 400
GREEDY = Decoding(num_beams=1, max_new_tokens=8)

ABOUT: dict[str, tuple[str, list[str], list[str]]] = {
    "food": (
        "i love {} .",
        ["what do you like to eat ?", "which food is your favourite ?", "what is for dinner ?"],
        ["rice", "soup", "bread", "pasta", "fish", "cake"],
    ),
    "pet": (
        "i have a {} .",
        ["do you have a pet ?", "which animal lives with you ?", "who waits for you at home ?"],
        ["cat", "dog", "parrot", "rabbit", "turtle", "horse"],
    ),
    "sport": (
        "i am fond of {} .",
        ["what do you play ?", "which sport do you do ?", "how do you keep fit ?"],
        ["tennis", "chess", "rowing", "judo", "golf", "skating"],
    ),
    "drink": (
        "{} , please .",
        ["what do you drink ?", "what is in your cup ?", "can i get you a drink ?"],
        ["tea", "milk", "coffee", "water", "juice", "cocoa"],
    ),
    "town": (
        "i live in {} .",
        ["where do you live ?", "which town are you from ?", "where is your home ?"],
        ["oslo", "lima", "cairo", "kyoto", "turin", "perth"],
    ),
}
"""Topic -> how a reply is put, three ways to ask, and what there is to choose from."""


def people(count: int, seed: int) -> list[dict[str, str]]:
    """So many people with fifteen rows each: `user`, `said` and `reply`."""
    dice, rows = random.Random(seed), []
    for number in range(count):
        for reply, questions, choices in ABOUT.values():
            said = reply.format(dice.choice(choices))
            rows += [{"user": f"person {seed}-{number}", "said": asked, "reply": said} for asked in questions]
    return rows


def train(output: Path, steps: int = STEPS, count: int = 200) -> tuple[MetaLearner, dict[str, float]]:
    """A learner whose private network answers for a user after ten of their rows, and its scores on twenty strangers."""
    rows = people(count, seed=0)
    tokenizer = word_tokenizer([row[key] for row in rows for key in ("said", "reply")])
    columns: dict[str, Any] = {"task_column": "user", "input_column": "said", "target_column": "reply"}
    columns |= {"task_type": "seq2seq-lm", "processing_class": tokenizer, "support": 10, "query": 5}
    known, strangers = (EpisodeDataset(Dataset.from_list(r), **columns) for r in (rows, people(20, seed=1)))
    torch.manual_seed(0)
    sizes = {"embedding_size": 32, "hidden_size": 32, "encoder_layers": 1, "dropout": 0.0, "embedding_std": 0.3}
    model = Seq2SpgForConditionalGeneration(Seq2SpgConfig(vocab_size=len(tokenizer), private_init="kaiming", **sizes))
    algorithm = Cmaml(
        adapt="private",
        order=2,
        inner_steps=3,
        inner_lr=1.0,
        inner_batch_size=None,
        keep_ratio=0.5,
        pretrain_until=0.6,
        prune_lr=0.003,
        prune_steps=2,
        test_prune_steps=2,
    )
    args = MetaConfig(
        output_dir=str(output),
        per_device_train_batch_size=8,
        max_steps=steps,
        learning_rate=3e-3,
        logging_steps=max(1, steps // 4),
        save_strategy="no",
        dataloader_pin_memory=False,
        report_to="none",
    )
    trainer = CmamlTrainer(
        model, args, algorithm=algorithm, train_dataset=known, eval_dataset=FixedEpisodes(strangers, 20)
    )
    trainer.train()
    trainer.save_model()
    return trainer.learner, trainer.evaluate()


def side_by_side(learner: MetaLearner, folder: Path) -> list[tuple[str, str, list[str]]]:
    """Two strangers: question, answer without adaptation, and the answer of each after ten of their rows, from a folder opened again.

    Args:
        learner: trained, with `adapt="private"`.
        folder: holds its `learner/`; the two private adapters are published to `adapters/` in it.

    Returns:
        a row for every topic, asked in words that none of the ten rows had.
    """
    tokenizer, rows = learner.processing_class, people(2, seed=2)
    names = sorted({row["user"] for row in rows})
    asked = tokenizer([questions[2] for _, questions, _ in ABOUT.values()], padding=True, return_tensors="pt")
    asked.pop("token_type_ids", None)
    answers = [generate(learner.model, dict(asked), tokenizer, GREEDY)]
    last = {questions[2] for _, questions, _ in ABOUT.values()}
    with learner.serve(folder / "bank") as users:
        for name in names:
            users.add(name, [row for row in rows if row["user"] == name and row["said"] not in last])
        published = users.export(folder, names)
    for path in published:
        base = load_model(str(folder / "learner"), "seq2seq-lm")
        opened = PeftModel.from_pretrained(base, str(path)).eval()
        answers.append(generate(opened, dict(asked), tokenizer, GREEDY))
    return [
        (
            question,
            before,
            [f"{one} (true: {_truth(rows, name, question)})" for one, name in zip(mine, names, strict=True)],
        )
        for question, before, *mine in zip((q[2] for _, q, _ in ABOUT.values()), *answers, strict=True)
    ]


def _truth(rows: list[dict[str, str]], user: str, question: str) -> str:
    return next(row["reply"] for row in rows if row["user"] == user and row["said"] == question)


def main(console: Console | None = None) -> None:
    """Train, publish two private adapters to a local folder, open them again, and show both."""
    console = console or Console()
    shutil.rmtree(OUT, ignore_errors=True)
    learner, scores = train(OUT / "learner")
    console.print(
        f"loss of the replies of 20 strangers, in nats a word: {scores['eval_query_loss_before']:.2f} before, "
        f"{scores['eval_query_loss']:.2f} ± {scores['eval_query_loss_ci95']:.2f} after ten of their rows"
    )
    table = Table("question", "without adaptation", "first stranger", "second stranger")
    for question, before, mine in side_by_side(learner, OUT):
        table.add_row(question, before, *mine)
    console.print(table)
    console.print(f"their private adapters: {OUT / 'adapters'}, opened with PeftModel.from_pretrained")


if __name__ == "__main__":
    main()
