"""The tensor that holds a layer's weights or delays, where pruning or a parametrization computes them from others.

What is written to ``layer.shift`` itself is lost there: torch computes it anew before the next forward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..errors import InputError

__all__ = ["change", "current", "holders", "living", "replace"]

_TAKEN = 1e-4  # how closely, relative and absolute, a parametrization must give back what was set


def living(layer: nn.Module, name: str) -> Tensor | None:
    """1 where an entry of a parameter is in use and 0 where torch.nn.utils.prune masks it; None: nothing is masked."""
    mask: Tensor | None = getattr(layer, f"{name}_mask", None)
    return mask if isinstance(getattr(layer, f"{name}_orig", None), nn.Parameter) else None


def current(layer: nn.Module, name: str) -> Tensor:
    """A parameter as the next forward pass will see it; that of a pruned layer is out of date after a step."""
    mask = living(layer, name)
    value: Tensor = getattr(layer, name) if mask is None else getattr(layer, f"{name}_orig") * mask
    return value


def holders(layer: nn.Module, name: str) -> list[nn.Parameter]:
    """The parameters that an optimizer changes in the place of that name."""
    if parametrize.is_parametrized(layer, name):
        return list(layer.parametrizations[name].parameters())  # type: ignore[index, union-attr]
    own = dict(layer.named_parameters(recurse=False))
    return [own[name]] if name in own else [p for other, p in own.items() if other.startswith(f"{name}_")]


@torch.no_grad()
def change(layer: nn.Module, name: str, edit: Callable[[Tensor, Tensor | None], object]) -> None:
    """Change a parameter, or what it is computed from.

    Args:
        layer, name: whose parameter.
        edit: called with its values, to change in place, and with :func:`living`. What it does to masked entries is
            ignored.

    Raises:
        InputError: the parameter is computed from others in a way that cannot be inverted.
    """
    values: Tensor = getattr(layer, name)
    if isinstance(values, nn.Parameter):
        edit(values, None)
        return
    mask = living(layer, name)
    values = current(layer, name)
    wanted = values.clone()
    edit(wanted, mask)
    if mask is not None:
        held: Tensor = getattr(layer, f"{name}_orig")
        held.copy_(torch.where(mask != 0, wanted, held))
        with torch.enable_grad():  # as in a forward pass
            setattr(layer, name, held * mask)
    elif not torch.equal(wanted, values):
        _set(layer, name, wanted)


def replace(layer: nn.Module, name: str, values: Tensor) -> None:
    """Set a parameter, or what it is computed from, as :func:`change`."""
    change(layer, name, lambda own, _: own.copy_(values))


def _set(layer: nn.Module, name: str, wanted: Tensor) -> None:
    held = holders(layer, name)
    if not parametrize.is_parametrized(layer, name):
        names = ", ".join(other for other, p in layer.named_parameters(recurse=False) if any(p is x for x in held))
        _refuse(layer, name, f"it is computed from {names or 'other tensors'}")
    before = [x.clone() for x in held]
    reason = "its parametrization does not give back what is set"
    try:
        setattr(layer, name, wanted)
        if torch.allclose(getattr(layer, name), wanted, rtol=_TAKEN, atol=_TAKEN):
            return
    except (RuntimeError, ValueError) as error:  # such as one without a right_inverse
        reason = str(error).rstrip(".")
    for x, old in zip(held, before, strict=True):
        x.copy_(old)
    _refuse(layer, name, reason)


def _refuse(layer: nn.Module, name: str, reason: str) -> NoReturn:
    raise InputError(
        f"{name} of {type(layer).__name__}({layer.extra_repr()}) cannot be changed: {reason}. Prune with "
        "torch.nn.utils.prune, or use a parametrization with an exact right_inverse"
    )
