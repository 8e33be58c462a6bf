#define RECOPS_ISA avx512
#include "cpu-inl.h"
