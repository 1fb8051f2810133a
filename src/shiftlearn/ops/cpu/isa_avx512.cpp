#define SHIFTLEARN_ISA avx512
#define VECTOR_BYTES 64
#include "kernels.hpp"
