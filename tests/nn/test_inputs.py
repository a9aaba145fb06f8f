"""Signatures: what is drawn for them, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from archwright.core.errors import InvalidValueError
from archwright.nn.inputs import (
    Signature,
    TensorSpec,
    check_inputs,
    example_inputs,
    one_input,
    shape_text,
    signature_for,
    tensors_of,
)

TWO = Signature((TensorSpec((4,), "int64", 9, "ids"), TensorSpec((4,), "bool", name="mask")))


def test_one_input_is_a_tensor_several_are_a_tuple() -> None:
    """With the batch in front, in the types that are said."""
    found = TWO.example(3, rng=np.random.default_rng(0))
    assert isinstance(found, tuple)
    assert [(x.shape, x.dtype) for x in found] == [((3, 4), torch.int64), ((3, 4), torch.bool)]
    assert int(found[0].max()) < 9
    assert found[1][:, 0].all(), "a mask leaves something"
    assert isinstance(one_input((2, 2)).example(3), torch.Tensor)


def test_a_shape_is_what_the_network_says() -> None:
    """The same draws as from the signature that it stands for: numbers, or tokens of an embedding."""
    for network, n_tokens in ((nn.Linear(4, 2), None), (nn.Embedding(9, 2), 9)):
        assert signature_for(network, (4,)) == one_input((4,), n_tokens)
        one, other = (
            example_inputs(network, form, 5, rng=np.random.default_rng(1)) for form in ((4,), one_input((4,), n_tokens))
        )
        assert torch.equal(*tensors_of([one, other]))


def test_without_a_generator_inputs_are_zeros_and_true() -> None:
    """And nothing at all on the meta device."""
    ids, mask = TWO.example(2)
    assert not ids.any()
    assert mask.all()
    assert all(x.is_meta for x in TWO.example(2, device="meta"))


def test_shapes_in_words() -> None:
    """Of several inputs each with its name."""
    assert shape_text(one_input((3, 8, 8))) == shape_text((3, 8, 8)) == "3x8x8"
    assert shape_text(TWO) == "ids 4, mask 4"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TensorSpec((3,), "int32"), "choose one of float32, int64, bool"),  # type: ignore[arg-type]
        (lambda: TensorSpec((3,), "float32", 5), "input has 5 tokens of type float32"),
        (lambda: TensorSpec((3,), "int64", 0), "give at least 1"),
        (lambda: Signature(()), "give at least one input"),
        (lambda: Signature((TensorSpec((3,)), TensorSpec((4,)))), "the names input, input"),
    ],
)
def test_a_signature_that_cannot_be_is_refused(make: object, message: str) -> None:
    """In one line."""
    assert callable(make)
    with pytest.raises(InvalidValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (torch.zeros(2, 3), "the data give 3 (float32) an example"),
        ((torch.zeros(2, 4, dtype=torch.int64),), "the data give 4 (int64) an example"),
        (
            (torch.zeros(2, 4, dtype=torch.int64), torch.zeros(2, 5, dtype=torch.bool)),
            "the data give 2 tensors, 4 (int64), 5 (bool) an example",
        ),
    ],
)
def test_inputs_of_another_form_are_refused(given: object, said: str) -> None:
    """Both forms are told; the right one is let through."""
    with pytest.raises(InvalidValueError) as caught:
        check_inputs(TWO, given, what="the data", by="space 'two'")  # type: ignore[arg-type]
    assert str(caught.value).startswith(said)
    assert "but space 'two' takes ids 4 (tokens below 9), mask 4 (bool)" in str(caught.value)
    check_inputs(TWO, TWO.example(7), what="the data", by="space 'two'")
