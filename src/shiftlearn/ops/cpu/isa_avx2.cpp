#define SHIFTLEARN_ISA avx2
#define VECTOR_BYTES 32
#include "kernels.hpp"
