// Storage types of floating-point tensors in kernels.
#pragma once

namespace recops { enum class Dtype { f32, bf16, f16, f64 }; }  // namespace recops
