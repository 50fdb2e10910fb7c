"""Which device a command computes on."""

from __future__ import annotations

import pytest
import torch

from spg.networks.compute.device import pick_device
from spg.project.errors import UserError


def test_the_variable_names_the_device(monkeypatch):
    monkeypatch.setenv("SPG_DEVICE", "cpu")
    assert pick_device() == torch.device("cpu")
    monkeypatch.delenv("SPG_DEVICE")
    assert pick_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "", "cpu0", "0 1"])
def test_a_device_that_this_machine_has_not_is_one_sentence(monkeypatch, name):
    monkeypatch.setenv("SPG_DEVICE", name)
    with pytest.raises(UserError, match=rf"^SPG_DEVICE {name}: no device of this machine .*\)"):
        pick_device()
