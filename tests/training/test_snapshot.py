"""The copy of a state that is written while the training goes on."""

import math
from collections import OrderedDict

import pytest
import torch

from rfdetr_train.training.snapshot import Snapshot, is_finite


def test_copy_has_the_same_values_and_structure_and_does_not_follow_the_training():
    weight = torch.arange(6.0).reshape(2, 3)
    state = {"w": weight, "n": [torch.tensor(3), ("text", None, torch.tensor([True]))], "half": weight.bfloat16()}
    copied = Snapshot().take(state)
    weight.fill_(-1)
    assert torch.equal(copied["w"], torch.arange(6.0).reshape(2, 3))
    assert (copied["n"][0], copied["n"][1][:2]) == (torch.tensor(3), ("text", None))
    assert copied["half"].dtype == torch.bfloat16
    assert copied["n"][1][2].dtype == torch.bool


def test_tensors_that_share_memory_share_it_again_so_that_a_file_holds_them_once(tmp_path):
    base = torch.rand(1000, 1000)
    state = {"all": base, "transposed": base.T, "row": base[7], "again": base}
    copied = Snapshot().take(state)
    assert all(torch.equal(copied[name], value) for name, value in state.items())
    assert len({value.untyped_storage().data_ptr() for value in copied.values()}) == 1
    torch.save(copied, tmp_path / "s.pth")
    assert (tmp_path / "s.pth").stat().st_size < 1.01 * base.nbytes


def test_buffers_are_used_again_and_follow_a_state_that_changes_its_size():
    snapshot, weight = Snapshot(), torch.rand(10)
    first = snapshot.take({"w": weight})["w"].untyped_storage().data_ptr()
    weight += 1
    second = snapshot.take({"w": weight, "new": torch.zeros(3)})
    assert second["w"].untyped_storage().data_ptr() == first
    assert torch.equal(second["w"], weight)
    assert torch.equal(second["new"], torch.zeros(3))
    weight.untyped_storage().resize_(4)
    assert torch.equal(snapshot.take({"w": weight[:1]})["w"], weight[:1])


def test_versions_that_torch_keeps_beside_a_state_dict_are_kept():
    state = torch.nn.BatchNorm1d(2).state_dict()
    copied = Snapshot().take(state)
    assert isinstance(copied, OrderedDict)
    assert copied._metadata == state._metadata
    torch.nn.BatchNorm1d(2).load_state_dict(copied)


def test_gradients_and_parameters_become_plain_tensors():
    copied = Snapshot().take({"p": torch.nn.Parameter(torch.ones(2))})
    assert type(copied["p"]) is torch.Tensor
    assert not copied["p"].requires_grad


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_value_that_is_not_finite_is_found(value):
    state = {"a": torch.ones(3), "steps": torch.tensor(2**40)}
    assert is_finite(state)
    state["a"][1] = value
    assert not is_finite(state)
