#define SHIFTLEARN_ISA baseline
#define VECTOR_BYTES 16
#include "kernels.hpp"
