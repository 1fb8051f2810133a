"""The GPU kernels, in Triton, behind the same signatures as :mod:`..reference`; float32 and float64.

No result depends on the order in which programs run, and nothing here waits for the device or asks it for a shape: a
step can be captured in a CUDA graph. With ``TRITON_INTERPRET=1``, set before Triton is first imported, the same kernels
run on CPU tensors, in NumPy: that is how they are tested where there is no GPU.
"""

from __future__ import annotations

from .adjust import feedback, plasticity
from .elementwise import coefficients, cross_entropy
from .sorting import sort_levels, sort_spikes
from .walk import first_spike

__all__ = [
    "coefficients",
    "cross_entropy",
    "feedback",
    "first_spike",
    "plasticity",
    "sort_levels",
    "sort_spikes",
]
