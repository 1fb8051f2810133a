#define VECTOR_BYTES 32
#include "kernels_impl.hpp"

namespace shiftlearn {
template <> Kernels<float> avx2_kernels<float>() { return kernels<float>(); }
template <> Kernels<double> avx2_kernels<double>() { return kernels<double>(); }
}  // namespace shiftlearn
