#define VECTOR_BYTES 16
#include "kernels_impl.hpp"

namespace shiftlearn {
template <> Kernels<float> baseline_kernels<float>() { return kernels<float>(); }
template <> Kernels<double> baseline_kernels<double>() { return kernels<double>(); }
}  // namespace shiftlearn
