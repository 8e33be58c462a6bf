#define RECOPS_ISA avx2
#include "cpu-inl.h"
