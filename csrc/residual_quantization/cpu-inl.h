// Kernel bodies, compiled once per instruction set: one idea a file. See kernel.h for what they compute.
#pragma once

#include "residual_quantization/beam-inl.h"
#include "residual_quantization/decode-inl.h"
#include "residual_quantization/flip-inl.h"
#include "residual_quantization/greedy-inl.h"
#include "residual_quantization/grid-panel-inl.h"
#include "residual_quantization/kernel.h"
#include "residual_quantization/nearest-inl.h"
#include "residual_quantization/panel-inl.h"
#include "residual_quantization/shift-inl.h"
#include "residual_quantization/table-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {

extern const Kernels kernels = {num_panels,      panel_bytes,  find_shift,   pack,           grid_panel_bytes,
                                grid_pays,       pack_grid,    encode,       encode_scratch, nearest,
                                nearest_scratch, find_invalid, decode,       accumulate,     accumulate_weight,
                                table_bytes,     coarse_bytes, coarse_pays,  table_pieces,   table_scratch,
                                fill_table,      encode_beams, beam_scratch, count_flips,    flip_scratch};

}  // namespace recops::residual_quantization::RECOPS_ISA
