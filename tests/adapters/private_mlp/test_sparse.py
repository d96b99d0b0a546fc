"""Sparse storage: dense with zeros, stored sparse and reloaded are the same function, bit for bit, and the file is small."""

from __future__ import annotations

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from hfmeta.adapters.private_mlp.sparse import pack_sparse, unpack_sparse
from hfmeta.inner.errors import HfmetaError
from private import MODELS, logits, private, prune, rows_of
from tiny import tiny_bert, tiny_lstm


@pytest.mark.parametrize("name", list(MODELS))
def test_dense_sparse_and_reloaded_are_the_same_function(name, tmp_path):
    build, rows = MODELS[name][0], rows_of(name)
    models = {sparse: private(build(), hidden_sizes=[32, 32], sparse=sparse) for sparse in (False, True)}
    for sparse, model in models.items():
        prune(model)
        model.save_pretrained(tmp_path / str(sparse))
    expected = logits(models[False], rows)
    assert torch.equal(logits(models[True], rows), expected)
    sizes = []
    for sparse in models:
        for options in ({}, {"low_cpu_mem_usage": True}):
            again = PeftModel.from_pretrained(build().eval(), str(tmp_path / str(sparse)), **options)
            assert torch.equal(logits(again, rows), expected), sparse
        stored = load_file(tmp_path / str(sparse) / "adapter_model.safetensors")
        assert any(key.endswith("_bits") for key in stored) == sparse
        sizes.append(sum(value.nbytes for value in stored.values()))
    assert sizes[1] < 0.6 * sizes[0]


def test_a_reloaded_sparse_adapter_saves_to_the_same_bytes(tmp_path):
    model = private(tiny_bert(), hidden_sizes=[32], sparse=True)
    prune(model)
    model.save_pretrained(tmp_path / "one")
    PeftModel.from_pretrained(tiny_bert(), str(tmp_path / "one")).save_pretrained(tmp_path / "two")
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_only_what_gets_smaller_is_packed():
    dense, thin = torch.ones(4, 6), torch.zeros(4, 6)
    thin[1, 2], thin[3, 3], thin[0, 0] = 2.0, -1.0, -0.0
    vector, empty = torch.zeros(50), torch.zeros(3, 5)
    state = {"dense": dense, "thin": thin, "vector": vector, "empty": empty}
    packed = pack_sparse(state)
    assert set(packed) == {"dense", "thin", "thin_bits", "vector", "empty", "empty_bits"}
    assert packed["thin"].tolist() == [2.0, -1.0]
    assert (packed["thin_bits"].dtype, len(packed["thin_bits"])) == (torch.uint8, 3)
    assert packed["empty"].shape == (0,)
    found = unpack_sparse(packed, {name: value.shape for name, value in state.items()})
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_types_are_kept(dtype):
    value = torch.zeros(9, 9, dtype=dtype)
    value[2, 7] = 0.3
    assert torch.equal(unpack_sparse(pack_sparse({"a": value}), {"a": value.shape})["a"], value)


@pytest.mark.parametrize("harm", ["other shape", "lost value", "no values", "other bits"])
def test_parts_that_do_not_fit_are_refused(harm):
    value = torch.zeros(8, 8)
    value[0, :3] = 1.0
    packed, shape = pack_sparse({"a": value}), value.shape
    if harm == "other shape":
        shape = torch.Size([8, 9])
    elif harm == "lost value":
        packed["a"] = packed["a"][:-1]
    elif harm == "no values":
        del packed["a"]
    else:
        packed["a_bits"] = packed["a_bits"].float()
    with pytest.raises(HfmetaError, match=r"the sparse tensor a does not fit its place of shape \(8, "):
        unpack_sparse(packed, {"a": shape})


def test_sparse_files_that_transformers_cannot_unpack_are_refused_and_not_read_wrongly(tmp_path):
    model = private(tiny_lstm(), sparse=True)
    prune(model)
    model.save_pretrained(tmp_path)
    with pytest.raises(RuntimeError, match="size mismatch|mismatched"):
        tiny_lstm().load_adapter(str(tmp_path))


def test_a_file_with_bits_of_another_adapter_is_refused(tmp_path):
    model = private(tiny_bert(), hidden_sizes=[32], sparse=True)
    prune(model)
    model.save_pretrained(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    stored = load_file(path)
    name = next(key for key in stored if key.endswith("_bits"))
    stored[name] = stored[name] ^ 1
    save_file(stored, path)
    with pytest.raises(HfmetaError, match="The file is damaged, or the adapter belongs to another base model"):
        PeftModel.from_pretrained(tiny_bert(), str(tmp_path))
