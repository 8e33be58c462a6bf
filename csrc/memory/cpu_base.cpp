#define RECOPS_ISA base
#include "cpu-inl.h"
