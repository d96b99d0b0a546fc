"""One live slot: a user's values are copied into the model, and the model's own come back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hfmeta.adapters.bank import AdapterBank, BankError, LiveSlot
from hfmeta.adapters.pruning import apply_masks, find_stacks, prune
from hfmeta.inner.errors import HfmetaError
from hfmeta.models.private_mlp import PrivateMlp


class Net(nn.Module):
    """A shared layer and a private one."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.shared = nn.Linear(4, 3)
        self.private = nn.Linear(3, 2).to(dtype)

    def forward(self, x):
        return self.private(self.shared(x).to(self.private.weight.dtype))


NAMES = {"weight": "private.weight", "bias": "private.bias"}


def adapter(seed):
    generator = torch.Generator().manual_seed(seed)
    return {"weight": torch.randn(2, 3, generator=generator), "bias": torch.randn(2, generator=generator)}


@pytest.fixture
def bank(tmp_path):
    with AdapterBank.create(tmp_path / "bank", adapter(0)) as bank:
        for seed in range(3):
            bank.put(seed, adapter(seed), {"weight": torch.tensor([[True, False, True]] * 2)} if seed == 2 else None)
        yield bank


def test_switching_and_restoring(bank):
    model, x = Net(), torch.randn(5, 4)
    own, parameters = model(x), dict(model.named_parameters())
    slot = LiveSlot(bank)
    slot.attach(model, NAMES)
    assert slot.current is None
    assert torch.equal(model(x), own)
    for user in (1, "2", 0):
        slot.switch(user)
        assert slot.current == str(user)
        values = bank.get(user)
        expected = nn.functional.linear(model.shared(x), values["weight"], values["bias"])
        assert torch.equal(model(x), expected)
    assert all(value is parameters[name] for name, value in model.named_parameters())
    slot.restore()
    assert slot.current is None
    assert torch.equal(model(x), own)
    slot.switch(1)
    slot.detach()
    assert torch.equal(model(x), own)
    slot.attach(model, NAMES)


def test_the_models_own_names_and_types(tmp_path):
    model = Net(dtype=torch.bfloat16)
    template = {"private.weight": torch.zeros(2, 3), "private.bias": torch.zeros(2)}
    with AdapterBank.create(tmp_path / "bank", template) as bank:
        bank.put("u", {"private.weight": adapter(1)["weight"], "private.bias": adapter(1)["bias"]})
        for names in (None, ["private.bias", "private.weight"]):
            slot = LiveSlot(bank)
            slot.attach(model, names)
            slot.switch("u")
            assert torch.equal(model.private.weight, adapter(1)["weight"].bfloat16())


def test_a_failed_switch_changes_nothing(bank):
    model = Net()
    slot = LiveSlot(bank)
    slot.attach(model, NAMES)
    slot.switch(1)
    with pytest.raises(BankError, match="no adapter of task 'nobody'"):
        slot.switch("nobody")
    (path,) = (bank.folder / "users").rglob("2.safetensors")
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(BankError, match="2.safetensors is damaged"):
        slot.switch(2)
    assert slot.current == "1"
    assert torch.equal(model.private.weight, adapter(1)["weight"])


def test_saving_what_was_trained_further_keeps_the_masks(bank):
    model = Net()
    slot = LiveSlot(bank)
    slot.attach(model, NAMES)
    with pytest.raises(BankError, match="no user's adapter is in the model; call `switch` first"):
        slot.save()
    slot.switch(2)
    with torch.no_grad():
        model.private.weight += 1
    slot.save()
    record = bank.read(2)
    assert torch.equal(record.masks["weight"], torch.tensor([[True, False, True]] * 2))
    assert torch.equal(record.values["weight"], (adapter(2)["weight"] + 1) * record.masks["weight"])
    slot.save({})
    assert bank.get_masks(2) == {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_pruned_network_computes_the_same_dense_masked_stored_sparse_and_reloaded(tmp_path, dtype):
    model = PrivateMlp((12, 12, 10, 8, 6)).to(dtype)
    x = torch.randn(3, 7, 12).to(dtype)
    values = {name: value.detach().clone() for name, value in model.state_dict().items()}
    masks = prune(values, find_stacks(values), keep_ratio=0.3)
    masked = apply_masks(values, masks)
    dense = torch.func.functional_call(model, masked, (x,))
    assert not torch.equal(dense, model(x))
    with AdapterBank.create(tmp_path / "bank", values) as bank:
        bank.put("dense", masked)
        bank.put("sparse", values, masks)
        sizes = [path.stat().st_size for path in (bank.folder / "users").rglob("*.safetensors")]
        assert min(sizes) < max(sizes)
    slot = LiveSlot(AdapterBank.open(tmp_path / "bank"))
    slot.attach(model)
    for task in ("dense", "sparse"):
        slot.switch(task)
        assert torch.equal(model(x), dense)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            {"weight": "private.weight"},
            "takes every tensor of the bank's adapters: 'bias' has no parameter in the model",
        ),
        ({**NAMES, "more": "shared.bias"}, "'more' is not in the bank"),
        ({**NAMES, "weight": "private.wieght"}, "Net has no parameter 'private.wieght'. Did you mean 'private.weight'"),
        (
            {**NAMES, "weight": "shared.weight"},
            r"shared.weight has shape \(3, 4\); the bank's adapters have \(2, 3\): they were",
        ),
        (None, "Net has no parameter 'weight'"),
    ],
)
def test_models_that_do_not_fit(bank, names, message):
    slot = LiveSlot(bank)
    with pytest.raises(HfmetaError, match=message):
        slot.attach(Net(), names)
    for call in (lambda: slot.switch(1), slot.restore, slot.save):
        with pytest.raises(HfmetaError, match=r"not attached to a model; call `attach\(model, names\)`"):
            call()


def test_attaching_twice(bank):
    slot = LiveSlot(bank)
    slot.attach(Net(), NAMES)
    with pytest.raises(HfmetaError, match="attached to a model; `detach` it first"):
        slot.attach(Net(), NAMES)
