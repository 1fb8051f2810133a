"""Derivatives are right or raise: torch.func over layers and losses, second derivatives, forward mode."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, stack_module_state, vjp, vmap

from shiftlearn import ops
from shiftlearn.errors import InputError
from shiftlearn.nn import (
    DirectFeedback,
    FirstSpikeCrossEntropy,
    RewardLoss,
    ShiftConv2d,
    ShiftLinear,
    SoftmaxTargetError,
)
from shiftlearn.ops import rules

Function = Callable[[Tensor], Tensor]
TARGET = torch.tensor([0, 1, 2, 1])
NO_SECOND = "no second derivative .* and no forward mode"


def times(*shape: int) -> Tensor:
    return torch.exp(torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))


def made(layer: type, *sizes: int, **options: object) -> ShiftLinear:
    layer: ShiftLinear = layer(*sizes, generator=torch.Generator().manual_seed(1), dtype=torch.float64, **options)
    return layer


def direct() -> tuple[Function, Tensor]:
    """A read-out's error, sent to a hidden layer, as a function of that layer's weights: its inputs hear nothing."""
    network = DirectFeedback(made(ShiftLinear, 6, 5, feedback="none"), made(ShiftLinear, 5, 3, feedback="none"))
    z = times(4, 6)
    return lambda shift: functional_call(network, {"0.shift": shift}, (z,)), network[0].shift.detach()


def reward(z: Tensor) -> Tensor:
    return RewardLoss(0.5, generator=torch.Generator().manual_seed(4))(z, TARGET)


WEIGHT = torch.tensor([1.0, 0.5, 2.0, 0.0], dtype=torch.float64)
CASES: dict[str, tuple[Function, Tensor]] = {
    "linear": (made(ShiftLinear, 6, 3), times(4, 6)),
    "convolution": (made(ShiftConv2d, 1, 2, 2), times(2, 1, 3, 3)),
    "direct": direct(),
    "cross-entropy": (lambda z: FirstSpikeCrossEntropy(2.0, 0.1)(z, TARGET), times(4, 3)),
    "cross-entropy, weighted": (lambda z: FirstSpikeCrossEntropy(2.0)(z, TARGET, WEIGHT), times(4, 3)),
    "cross-entropy in t": (lambda z: FirstSpikeCrossEntropy(readout="t")(z, TARGET), times(4, 3)),
    "published": (lambda z: SoftmaxTargetError()(z, TARGET), times(4, 3)),
}
each = pytest.mark.parametrize("case", CASES)


def summed(function: Function) -> Function:
    return lambda x: function(x).sum()


def by_autograd(function: Function, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (result,) = torch.autograd.grad(function(x).sum(), x)
    return result


# ------------------------------------------------------------------------------------------------- torch.func


@each
def test_reverse_mode_is_autograds(case: str) -> None:
    function, x = CASES[case]
    want = by_autograd(function, x)
    assert want.abs().max() > 0
    torch.testing.assert_close(grad(summed(function))(x).detach(), want)
    out, back = vjp(function, x)
    torch.testing.assert_close(back(torch.ones_like(out))[0].detach(), want)
    jacobian = jacrev(function)(x).detach()
    torch.testing.assert_close(jacobian.flatten(0, -1 - x.ndim).sum(0) if out.ndim else jacobian, want)


@each
def test_vmap_is_one_after_the_other(case: str) -> None:
    function, x = CASES[case]
    several = torch.stack([x, 1.5 * x, 2 * x])
    torch.testing.assert_close(vmap(function)(several), torch.stack([function(x) for x in several]))
    gradients = vmap(grad(summed(function)))(several).detach()
    torch.testing.assert_close(gradients, torch.stack([by_autograd(function, x) for x in several]))


@pytest.mark.parametrize("loss", [FirstSpikeCrossEntropy(), FirstSpikeCrossEntropy(ordinal=1.0), SoftmaxTargetError()])
def test_vmap_over_targets(loss: nn.Module) -> None:
    z = times(4, 3)
    losses = vmap(lambda z, target: loss(z[None], target[None]))
    torch.testing.assert_close(
        losses(z, TARGET), torch.stack([loss(z[k : k + 1], TARGET[k : k + 1]) for k in range(4)])
    )
    with pytest.raises(InputError, match="target must hold classes from 0 to 2, got 3"):
        losses(z, TARGET + 1)


def test_gradients_of_each_sample_and_networks_side_by_side() -> None:
    layers, loss, z = [made(ShiftLinear, 6, 3, feedback=f) for f in ("symmetric", "random")], nn.MSELoss(), times(4, 6)
    parameters, _ = stack_module_state([layers[0], made(ShiftLinear, 6, 3)])
    outputs = vmap(lambda p: functional_call(layers[0], p, (z,)))(parameters)
    torch.testing.assert_close(outputs, torch.stack([layers[0](z)] * 2))
    for layer in layers:
        own = {name: p.detach() for name, p in layer.named_parameters()}
        of_each = vmap(
            grad(lambda p, z, layer=layer: loss(functional_call(layer, p, (z[None],)), torch.zeros(1, 3))), (None, 0)
        )(own, z)
        for k in range(4):
            layer.zero_grad()
            loss(layer(z[k : k + 1]), torch.zeros(1, 3)).backward()
            torch.testing.assert_close(of_each["shift"][k], layer.shift.grad)
            torch.testing.assert_close(of_each["delay"][k], layer.delay.grad)


def test_the_reward_under_transforms() -> None:
    """It draws, so it is taken once; what is drawn is the same."""
    z = times(4, 3)
    want = by_autograd(reward, z)
    assert want.abs().max() > 0
    torch.testing.assert_close(grad(reward)(z), want)
    torch.testing.assert_close(jacrev(reward)(z), want)
    for transformed, given in ((vmap(reward), times(2, 4, 3)), (jacfwd(reward), z), (hessian(reward), z)):
        with pytest.raises(NotImplementedError, match=r"RewardLoss draws one guess for each row .* cannot take apart"):
            transformed(given)


# ------------------------------------------------------------------------------------- what has no derivative


@each
def test_second_derivatives_raise(case: str) -> None:
    """They were 0: a Hessian without a word, and a penalty of the gradient that changed nothing."""
    function, x = CASES[case]
    total = summed(function)
    for run in (
        grad(summed(grad(total))),
        jacrev(jacrev(total)),
        lambda x: torch.autograd.functional.hessian(total, x),
    ):
        with pytest.raises(NotImplementedError, match=NO_SECOND):
            run(x)
    for inputs in (None, [x := x.clone().requires_grad_()]):
        loss = total(x)
        (first,) = torch.autograd.grad(loss, x, create_graph=True)
        torch.testing.assert_close(first.detach(), by_autograd(function, x.detach()))
        with pytest.raises(NotImplementedError, match=NO_SECOND):
            (loss + first.square().sum()).backward(inputs=inputs)


def test_second_derivatives_by_weights_and_delays_raise(own_names: None) -> None:
    """Also of a rule of one's own, which goes another way, and of events."""
    rules.register("own", rules.exact)
    z = times(4, 6)
    for rule in ("exact", "own"):
        for inputs in (z, ops.sort_spikes(z)):
            layer = made(ShiftLinear, 6, 3, rule=rule)
            for parameter in layer.parameters():
                loss = layer(inputs).sum()
                (first,) = torch.autograd.grad(loss, parameter, create_graph=True)
                with pytest.raises(NotImplementedError, match=NO_SECOND):
                    torch.autograd.grad(first.sum(), parameter)
                (several,) = torch.autograd.grad(loss, parameter, torch.ones(2).double(), is_grads_batched=True)
                torch.testing.assert_close(several, first.detach().expand_as(several))
                with pytest.raises(NotImplementedError, match=NO_SECOND):
                    torch.autograd.grad(
                        layer(inputs).sum(), parameter, torch.ones(2).double(), is_grads_batched=True, create_graph=True
                    )


@each
def test_forward_mode_raises(case: str) -> None:
    function, x = CASES[case]
    for run in (jacfwd(function), hessian(summed(function))):
        with pytest.raises(NotImplementedError, match=NO_SECOND):
            run(x)
    with forward_ad.dual_level(), torch.no_grad(), pytest.raises(NotImplementedError, match=NO_SECOND):
        function(forward_ad.make_dual(x, torch.ones_like(x)))


def test_compiled_layers_have_no_second_derivative_either() -> None:
    torch.compiler.reset()
    layer = torch.compile(made(ShiftLinear, 6, 3), fullgraph=True, backend="aot_eager")
    z = times(4, 6).requires_grad_()
    loss = layer(z).sum()
    (first,) = torch.autograd.grad(loss, z, create_graph=True)
    with pytest.raises(RuntimeError, match="double backward"):
        (loss + first.square().sum()).backward()
    torch.compiler.reset()


def test_the_ordinal_loss_has_its_hessian() -> None:
    z = times(4, 3)
    distance = torch.arange(3) - TARGET[:, None]
    wanted = torch.softmax(-(distance.double() ** 2) / 2, -1)
    found = torch.autograd.functional.hessian(lambda z: FirstSpikeCrossEntropy(2.0, ordinal=1.0)(z, TARGET), z)
    want = torch.autograd.functional.hessian(lambda z: F.cross_entropy(-2.0 * z, wanted), z)
    assert want.abs().max() > 0.01
    torch.testing.assert_close(found, want)


def test_ops_without_a_gradient_say_so() -> None:
    events, shift = ops.sort_spikes(times(4, 6)), torch.full((6, 3), 0.5, dtype=torch.float64, requires_grad=True)
    u, count, _ = ops.first_spike(events, shift)
    error = torch.ones_like(u)
    for name, out in (("first_spike", u), ("feedback", ops.feedback(events, count, error, shift))):
        with pytest.raises(NotImplementedError, match=f"ops.{name} has no gradient; ops.fire, .* has one"):
            out.sum().backward()
    ops.first_spike(events, shift.detach())
