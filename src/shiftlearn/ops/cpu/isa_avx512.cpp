#define VECTOR_BYTES 64
#include "kernels_impl.hpp"

namespace shiftlearn {
template <> Kernels<float> avx512_kernels<float>() { return kernels<float>(); }
template <> Kernels<double> avx512_kernels<double>() { return kernels<double>(); }
}  // namespace shiftlearn
