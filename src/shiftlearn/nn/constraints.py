"""What follows the optimizer's step: keeping neurons alive, delays causal and feedback aligned."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.utils.hooks import RemovableHandle

from ..errors import InputError
from .held import change, current, holders
from .linear import ShiftLinear, require_integers, shift_layers

__all__ = ["Constraints", "Homeostasis", "constrain", "project_delays"]


class Homeostasis:
    """Raise the weights of every neuron whose Σ_i w_ij is below ``target``, by the same amount at each synapse.

    A deterministic function of the weights. With a target above the threshold, 1, a neuron fires whenever all of
    its inputs do; where inputs can stay silent, choose a target that suits a typical active set. It belongs after the
    optimizer's step, where :func:`constrain` puts it; ``homeostasis(model)`` does it once.

    Of a pruned layer (torch.nn.utils.prune) the living synapses get what is missing, and a neuron that has none stays
    as it is. A layer whose weights are parametrized needs a parametrization with an exact ``right_inverse``; another
    is an InputError where there is something to raise.

    ``target`` may be a sequence, one for each layer, 0 for none. Only every ``every``-th call does it, counted by
    ``calls`` from 0: what is slow in nature need not take its time in each step.
    """

    def __init__(self, target: float | Sequence[float] = 1.2, every: int = 1) -> None:
        if not (min(target, default=-1) >= 0 if isinstance(target, Sequence) else target > 0):
            raise InputError(f"target must be positive, or 0 or more for each layer, got {target}")
        require_integers(every=every)
        self.target, self.every, self.calls = target, every, 0

    def __call__(self, model: nn.Module) -> None:
        self.calls += 1
        if self.calls % self.every:
            return
        layers = shift_layers(model)
        targets = self.target if isinstance(self.target, Sequence) else [self.target] * len(layers)
        if len(targets) != len(layers):
            raise InputError(f"target must be 0 or more for each of the {len(layers)} layers, got {self.target}")
        for layer, target in zip(layers, targets, strict=True):
            if target:
                change(layer, "shift", partial(_raise, target))


def _raise(target: float, shift: Tensor, living: Tensor | None) -> None:
    drive = shift.sum(-2)
    # Often there is nothing to do, but only the CPU can be asked without waiting for a device.
    if drive.device.type != "cpu" or drive.min().item() < target:
        missing = (target - drive).clamp_min(0)
        if living is None:
            shift.add_(missing.unsqueeze(-2) / shift.shape[-2])
        else:
            shift.add_(living * (missing / living.sum(-2).clamp_min(1)).unsqueeze(-2))


def project_delays(model: nn.Module) -> None:
    """Set every delay factor below 1 to 1: an axon cannot deliver a spike before it was fired."""
    for layer in shift_layers(model):
        layer.project_delays()


class Constraints:
    """What surrounds each step of an optimizer: :meth:`before_step` and :meth:`after_step`.

    :func:`constrain` lets the optimizer call them itself; its arguments are those of :func:`constrain`.

    Attributes:
        homeostasis: the Homeostasis that they call, None for none.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        network: nn.Module,
        homeostasis: Homeostasis | None,
        project: bool,
        aligning: Sequence[ShiftLinear],
    ) -> None:
        self.homeostasis, self._network, self._project = homeostasis, network, project
        self._optimizer = optimizer
        self._aligning = [(_group_of(layer, optimizer), layer) for layer in aligning]
        self._before: list[Tensor] = []
        self._handles: list[RemovableHandle] = []

    def install(self) -> None:
        """Let the optimizer call them. A copy of the optimizer, as pickle makes it, does not."""
        self._handles.append(self._optimizer.register_step_pre_hook(lambda *_: self.before_step()))
        self._handles.append(self._optimizer.register_step_post_hook(lambda *_: self.after_step()))

    def remove(self) -> None:
        """Take them off the optimizer again."""
        while self._handles:
            self._handles.pop().remove()

    def before_step(self) -> None:
        """Keep the weights that feedback matrices are to follow."""
        self._before = [current(layer, "shift").detach().clone() for _, layer in self._aligning]

    def after_step(self) -> None:
        """Homeostasis, then the projection of delays, then the alignment of feedback."""
        if self.homeostasis:
            self.homeostasis(self._network)
        if self._project:
            project_delays(self._network)
        for (number, layer), before in zip(self._aligning, self._before, strict=True):
            group = self._optimizer.param_groups[number]
            layer.align(before, 1 - group["lr"] * group.get("weight_decay", 0))


def _group_of(layer: ShiftLinear, optimizer: Optimizer) -> int:
    """The number of the optimizer's group that has the weights of a layer; load_state_dict makes new groups."""
    own = {id(p) for p in holders(layer, "shift")}
    for number, group in enumerate(optimizer.param_groups):
        if own & {id(p) for p in group["params"]}:
            decoupled = group.get("decoupled_weight_decay") or (isinstance(optimizer, SGD) and not group["momentum"])
            if group.get("weight_decay") and not decoupled:
                raise InputError(
                    "weight_decay must be decoupled from the gradient (torch.optim.AdamW), or 0, where feedback is to "
                    f"follow the weights, got {group['weight_decay']} of {type(optimizer).__name__}"
                )
            return number
    raise InputError(f"optimizer must have the weights of {layer}, whose feedback is to follow them")


def constrain(
    optimizer: Optimizer,
    network: nn.Module,
    homeostasis: float | Sequence[float] | Homeostasis | None = 1.2,
    project_delays: bool = True,
    aligning: Sequence[ShiftLinear] | None = None,
) -> Constraints:
    """Let every step of an optimizer be followed by what keeps a network able to fire, causal and aligned::

        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        sl.nn.constrain(optimizer, network)

    Args:
        optimizer: of torch; has some of the network's parameters.
        network: a module with layers of this package.
        homeostasis: target of :class:`Homeostasis`, one for all layers or one for each; or a Homeostasis; None: none.
        project_delays: whether delay factors below 1 are set to 1 (:func:`project_delays`).
        aligning: the layers whose feedback matrix follows their weights (:meth:`ShiftLinear.align`); None: all with the
            feedback "aligning". Weight decay must then be decoupled from the gradient, as in torch.optim.AdamW.

    Returns:
        Constraints, whose ``remove()`` takes them off again.

    Raises:
        InputError: a target out of range, or an optimizer that has none of the network's parameters.
    """
    own = {id(p) for p in network.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise InputError("optimizer must have parameters of network, got one that has none of them")
    if aligning is None:
        aligning = [layer for layer in shift_layers(network) if layer.feedback == "aligning"]
    if homeostasis is not None and not isinstance(homeostasis, Homeostasis):
        homeostasis = Homeostasis(homeostasis)
    constraints = Constraints(optimizer, network, homeostasis, project_delays, aligning)
    constraints.install()
    return constraints
