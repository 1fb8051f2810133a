"""Base of all autograd functions here: where a derivative does not exist, it raises; it is not 0 without a word."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch._C import _functorch
from torch._functorch.utils import enable_single_level_autograd_function

__all__ = ["FirstOrder", "transformed", "unwrapped", "vmapped"]

_REFUSAL = (
    "shiftlearn computes first derivatives in reverse mode only: its layers and losses have no second derivative "
    "(Hessian, gradient penalty) and no forward mode (torch.func.jvp, jacfwd, hessian)"
)


def transformed() -> bool:
    """True inside torch.func.grad, vmap and their like."""
    return _functorch.peek_interpreter_stack() is not None


def vmapped() -> bool:
    """True inside torch.func.vmap, and inside jacfwd and hessian, which call it."""
    if torch.compiler.is_compiling():
        return False
    stack = _functorch.get_interpreter_stack() or ()
    return any(level.key() == _functorch.TransformType.Vmap for level in stack)


def unwrapped(x: Tensor) -> Tensor:
    """The tensor that holds the values of ``x``, where torch.func has wrapped it."""
    while not torch.compiler.is_compiling() and _functorch.is_functorch_wrapped_tensor(x):
        x = _functorch.get_unwrapped(x)
    return x


class FirstOrder(torch.autograd.Function):
    """An autograd function whose backward pass cannot be differentiated again: NotImplementedError says so.

    What is saved for the backward pass, or stands in ``ctx.inputs``, must include every input on which that depends.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "backward" in vars(cls):
            cls.backward = staticmethod(_once(cls.backward))  # type: ignore[method-assign]

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        raise NotImplementedError(_REFUSAL)

    @classmethod
    def of_op(cls, *inputs: Any) -> Any:
        """The function as the autograd kernel of an op, whose dispatcher has already taken transforms apart."""
        if not transformed():
            return cls.apply(*inputs)  # type: ignore[no-untyped-call]
        with enable_single_level_autograd_function():
            return super(torch.autograd.Function, cls).apply(*inputs)  # type: ignore[misc]


def _once(backward: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """As torch's once_differentiable, under which a second derivative by the inputs alone is still 0 or left out."""

    @functools.wraps(backward)
    def wrapper(ctx: Any, *errors: Tensor) -> tuple[Any, ...]:
        if not torch.is_grad_enabled():  # as without create_graph
            return backward(ctx, *errors)
        with torch.no_grad():
            results = backward(ctx, *errors)
        if torch.compiler.is_compiling():  # torch itself refuses to differentiate what it compiled twice
            return results
        if any(_functorch.is_legacy_batchedtensor(x) for x in errors):  # is_grads_batched: it would get lost there
            raise NotImplementedError(_REFUSAL)
        found = [k for k, x in enumerate(results) if x is not None]
        depends = *errors, *ctx.saved_tensors, *getattr(ctx, "inputs", ())
        ended = _End.apply(len(found), *(results[k] for k in found), *depends)  # type: ignore[no-untyped-call]
        by_number = dict(zip(found, ended, strict=True))
        return tuple(by_number.get(k) for k in range(len(results)))

    return wrapper


class _End(torch.autograd.Function):
    """Its first ``number`` tensors, as if they depended on all of them; its backward pass raises."""

    generate_vmap_rule = True

    @staticmethod
    def forward(number: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(x.clone() for x in tensors[:number])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *errors: Any) -> NoReturn:
        raise NotImplementedError(_REFUSAL)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> NoReturn:
        raise NotImplementedError(_REFUSAL)
