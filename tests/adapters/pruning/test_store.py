"""Masks of many tasks as bits: what goes in comes out, from memory and from the file, whatever the ids; bad files are named."""

from __future__ import annotations

import json
import pickle
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from hfmeta.adapters.pruning import MaskStore, overlap
from hfmeta.adapters.pruning.store import FILE
from hfmeta.inner.errors import HfmetaError

SHAPES = {"w": (3, 5), "b": (3,), "v": (2, 3)}
IDS = ["../../x", "😀 and spaces", "a\nb\x00", "é", "e\u0301", "A", "a", 7, "x" * 500]


def random_masks(tasks, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(tasks, *shape, generator=generator) < 0.5 for name, shape in SHAPES.items()}


def same(left, right):
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_the_papers_network_takes_at_most_125_kilobytes():
    sizes = (600, 600, 500, 400, 300)
    shapes = {f"layers.{i}.weight": (o, n) for i, (n, o) in enumerate(zip(sizes, sizes[1:], strict=False))}
    shapes |= {f"layers.{i}.bias": (o,) for i, o in enumerate(sizes[1:])}
    assert sum(np.prod(shape) for shape in shapes.values()) == 981_800
    assert MaskStore(shapes).bytes_per_task == 122_726 <= 125_000


def test_in_and_out_by_split_and_id(tmp_path):
    store, masks, others = MaskStore(SHAPES), random_masks(len(IDS)), random_masks(2, seed=1)
    store.put("train", IDS, masks)
    store.put("test 😀", ["A", 7], others)
    assert len(store) == len(IDS) + 2
    store.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    for held in (store, MaskStore.load(tmp_path), MaskStore.load(tmp_path, SHAPES)):
        same(held.get("train", IDS), masks)
        same(held.get("test 😀", ["A", 7]), others)
        same(held.get("train", [7, "A", "A"]), {name: mask[[7, 5, 5]] for name, mask in masks.items()})
        assert held.splits == ["train", "test 😀"]
        assert held.tasks("train") == [str(task) for task in IDS]
        assert ("train", "7") in held
        assert ("train", 8) not in held
        floats = held.get("test 😀", [7], dtype=torch.float32)
        assert floats["w"].dtype == torch.float32
        assert torch.equal(floats["w"], others["w"][1:].float())
        assert held.get("train", [])["w"].shape == (0, 3, 5)


def test_replacing_and_deleting_also_after_loading(tmp_path):
    store = MaskStore(SHAPES)
    masks = random_masks(5)
    store.put("s", range(5), masks)
    store.save(tmp_path)
    store = MaskStore.load(tmp_path)
    new = random_masks(2, seed=9)
    store.put("s", [1, "new"], new)
    assert store.tasks("s") == ["0", "1", "2", "3", "4", "new"]
    store.delete("s", 0)
    store.delete("s", 4)
    assert sorted(store.tasks("s")) == ["1", "2", "3", "new"]
    same(store.get("s", [1, "new"]), new)
    same(store.get("s", [2, 3]), {name: mask[2:4] for name, mask in masks.items()})
    with pytest.raises(HfmetaError, match="split 's' has no masks of task '4'"):
        store.get("s", [4])
    store.save(tmp_path)
    same(MaskStore.load(tmp_path).get("s", [1, "new"]), new)


def test_overlap_on_the_bits():
    store, masks = MaskStore(SHAPES), random_masks(6)
    store.put("s", range(6), masks)
    for names in (["w"], ["w", "v"]):
        assert torch.equal(store.overlap("s", range(6), names), overlap(masks, names))
    assert torch.equal(store.overlap("s", [3, 1]), overlap({n: m[[3, 1]] for n, m in masks.items()}, list(SHAPES)))
    with pytest.raises(HfmetaError, match="no tensor 'ww'. Did you mean 'w'"):
        store.overlap("s", [1], ["ww"])
    with pytest.raises(HfmetaError, match="at least one tensor's name"):
        store.overlap("s", [1], [])


def test_keep_ratios_on_the_bits():
    store, masks = MaskStore(SHAPES), random_masks(6)
    store.put("s", range(6), masks)
    found = store.keep_ratios("s", [4, 2])
    for name in SHAPES:
        assert torch.allclose(found[name], masks[name][[4, 2]].flatten(1).double().mean(1))


def test_stores_of_several_processes_are_put_together():
    store, other = MaskStore(SHAPES), MaskStore(SHAPES)
    masks = random_masks(5)
    store.put("s", [0, 1, 2], {name: mask[:3] for name, mask in masks.items()})
    other.put("s", [2, 3], {name: mask[3:] for name, mask in masks.items()})
    store.update(pickle.loads(pickle.dumps(other)))
    assert store.tasks("s") == ["0", "1", "2", "3"]
    same(store.get("s", [0, 1, 2, 3]), {name: mask[[0, 1, 3, 4]] for name, mask in masks.items()})
    store.update(MaskStore(SHAPES))
    assert len(store) == 4
    with pytest.raises(HfmetaError, match="this store has masks for another model: b is"):
        store.update(MaskStore({"w": (3, 5)}))


def test_an_empty_store_is_saved_too(tmp_path):
    MaskStore(SHAPES).save(tmp_path)
    store = MaskStore.load(tmp_path)
    assert len(store) == 0
    store.put("s", ["a"], random_masks(1))
    assert len(store) == 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.text(min_size=1), st.text(min_size=1)), unique=True, min_size=1, max_size=6))
def test_any_text_names_a_task(tmp_path_factory, keys):
    store, folder = MaskStore(SHAPES), tmp_path_factory.mktemp("masks")
    kept = {}
    for seed, (split, task) in enumerate(keys):
        try:
            kept[split, task] = random_masks(1, seed)
            store.put(split, [task], kept[split, task])
        except HfmetaError as error:
            assert "surrogate" in str(error)  # noqa: PT017
            del kept[split, task]
    store.save(folder)
    again = MaskStore.load(folder)
    for (split, task), masks in kept.items():
        same(again.get(split, [task]), masks)


@pytest.mark.parametrize(
    ("tasks", "change", "message"),
    [
        ([1, 2], {"w": torch.ones(1, 3, 5)}, r"masks of w have shape \(1, 3, 5\); 2 task\(s\) need \(2, 3, 5\)"),
        ([1, 2], {"w": torch.ones(2, 5, 3)}, r"masks of w have shape \(2, 5, 3\)"),
        ([1, 2], {"x": torch.ones(2, 3)}, "'x' is no tensor of the store. There are: 'w', 'b', 'v'"),
        ([1, 2], {"w": None}, "the masks lack 'w'"),
        ([1, "1"], {}, "occurs twice"),
        ([1, ""], {}, "empty; give every task an id"),
        ([1, True], {}, "text or a whole number; received True"),
        ([1, "\ud800"], {}, "lone surrogate at position 0"),
        ([1, "x" * 5000], {}, "5000 bytes; at most 4096"),
    ],
)
def test_what_is_refused_is_not_stored(tasks, change, message):
    store = MaskStore(SHAPES)
    masks = {name: mask for name, mask in {**random_masks(2), **change}.items() if mask is not None}
    with pytest.raises(HfmetaError, match=message):
        store.put("s", tasks, masks)
    assert len(store) == 0


def test_unknown_keys():
    store = MaskStore(SHAPES)
    store.put("train", ["alice", "bob"], random_masks(2))
    with pytest.raises(HfmetaError, match="no split 'trian'. Did you mean 'train'"):
        store.get("trian", ["alice"])
    with pytest.raises(HfmetaError, match="no masks of task 'alcie'. Did you mean 'alice'"):
        store.get("train", ["bob", "alcie"])
    with pytest.raises(HfmetaError, match="at least one tensor"):
        MaskStore({})


# Files


@pytest.fixture
def saved(tmp_path):
    store = MaskStore(SHAPES)
    store.put("s", range(4), random_masks(4))
    return store.save(tmp_path)


def test_every_truncation_and_every_flipped_byte_is_noticed(saved):
    whole = saved.read_bytes()
    for length in range(0, len(whole), 7):
        saved.write_bytes(whole[:length])
        with pytest.raises(HfmetaError, match=FILE):
            MaskStore.load(saved.parent)
    for place in range(len(whole)):
        saved.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            same(
                MaskStore.load(saved.parent).get("s", range(4)), random_masks(4)
            )  # a byte without meaning: JSON padding
        except HfmetaError as error:
            assert FILE in str(error)  # noqa: PT017
    saved.unlink()
    with pytest.raises(HfmetaError, match="there is no mask file .*masks.safetensors"):
        MaskStore.load(saved.parent)


def test_masks_for_another_model(saved):
    with pytest.raises(HfmetaError, match=r"another model: w is \(3, 5\) \(15 entries\) in the masks and \(3, 6\)"):
        MaskStore.load(saved.parent, SHAPES | {"w": (3, 6)})
    with pytest.raises(HfmetaError, match="more is absent in the masks"):
        MaskStore.load(saved.parent, SHAPES | {"more": (1,)})
    with pytest.raises(HfmetaError, match=r"v is \(2, 3\) \(6 entries\) in the masks and absent in the model"):
        MaskStore.load(saved.parent, {"w": (3, 5), "b": (3,)})


def test_files_of_others_and_of_the_future(saved):
    save_file({"masks": np.zeros((1, 1), np.uint8)}, saved)
    with pytest.raises(HfmetaError, match="damaged, cut short or no mask file"):
        MaskStore.load(saved.parent)

    def rewrite(header, rows):
        text = json.dumps(header)
        crc = zlib.crc32(rows.tobytes(), zlib.crc32(text.encode()))
        save_file({"masks": rows}, saved, {"hfmeta_masks": text, "crc32": str(crc)})

    rows = np.zeros((1, 2), np.uint8)
    rewrite({"format": 2}, rows)
    with pytest.raises(HfmetaError, match="has format 2; this hfmeta reads 1. Install a newer hfmeta"):
        MaskStore.load(saved.parent)
    rewrite({"format": 1, "shapes": {"w": [9]}, "keys": [["s", "a"], ["s", "b"]]}, rows)
    with pytest.raises(HfmetaError, match=r"2 keys of 2 bytes each, but bits of shape \(1, 2\)"):
        MaskStore.load(saved.parent)
    for header in (
        {"format": 1},
        {"format": 1, "shapes": [], "keys": []},
        [],
        {"format": 1, "shapes": {"w": [9]}, "keys": [1]},
    ):
        rewrite(header, rows)
        with pytest.raises(HfmetaError, match="damaged"):
            MaskStore.load(saved.parent)


def test_a_failed_save_leaves_the_old_file(saved, monkeypatch):
    before = load_file(saved)
    store = MaskStore.load(saved.parent)
    store.put("s", ["new"], random_masks(1))
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        store.save(saved.parent)
    assert np.array_equal(load_file(saved)["masks"], before["masks"])
