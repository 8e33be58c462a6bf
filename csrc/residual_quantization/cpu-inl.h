// Kernel bodies, compiled once per instruction set: one idea a file, each using those above it. See kernel.h for what
// they compute.
#include <algorithm>
#include <cmath>
#include <limits>

#include "arena.h"
#include "residual_quantization/kernel.h"
#include "simd.h"

// In this order.
// clang-format off
#include "residual_quantization/panel-inl.h"
#include "residual_quantization/row-inl.h"
#include "residual_quantization/shift-inl.h"
#include "residual_quantization/best-inl.h"
#include "residual_quantization/grid-inl.h"
#include "residual_quantization/grid-panel-inl.h"
#include "residual_quantization/certify-inl.h"
#include "residual_quantization/way-inl.h"
#include "residual_quantization/greedy-inl.h"
#include "residual_quantization/nearest-inl.h"
#include "residual_quantization/decode-inl.h"
#include "residual_quantization/table-inl.h"
#include "residual_quantization/select-inl.h"
#include "residual_quantization/search-inl.h"
#include "residual_quantization/coarse-inl.h"
#include "residual_quantization/path-inl.h"
#include "residual_quantization/beam-inl.h"
#include "residual_quantization/flip-inl.h"
// clang-format on

namespace recops::residual_quantization::RECOPS_ISA {

extern const Kernels kernels = {num_panels,      panel_bytes,  find_shift,   pack,           grid_panel_bytes,
                                grid_pays,       pack_grid,    encode,       encode_scratch, nearest,
                                nearest_scratch, find_invalid, decode,       accumulate,     accumulate_weight,
                                table_bytes,     coarse_bytes, coarse_pays,  table_pieces,   table_scratch,
                                fill_table,      encode_beams, beam_scratch, count_flips,    flip_scratch};

}  // namespace recops::residual_quantization::RECOPS_ISA
