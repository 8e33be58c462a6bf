// The types that floating-point tensors are stored in, as kernels name them.
#pragma once

namespace recops { enum class Dtype { f32, bf16, f16, f64 }; }  // namespace recops
