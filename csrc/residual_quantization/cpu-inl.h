// Kernel bodies, compiled once per instruction set. See kernel.h for what they compute.
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

extern const Kernels kernels = {
    .num_panels = num_panels,
    .panel_bytes = panel_bytes,
    .find_shift = find_shift,
    .pack = pack,
    .grid_panel_bytes = grid_panel_bytes,
    .grid_pays = grid_pays,
    .pack_grid = pack_grid,
    .encode = encode,
    .encode_scratch = encode_scratch,
    .nearest = nearest,
    .nearest_scratch = nearest_scratch,
    .find_invalid = find_invalid,
    .decode = decode,
    .accumulate = accumulate,
    .accumulate_weight = accumulate_weight,
    .table_bytes = table_bytes,
    .coarse_bytes = coarse_bytes,
    .coarse_pays = coarse_pays,
    .table_pieces = table_pieces,
    .table_scratch = table_scratch,
    .fill_table = fill_table,
    .encode_beams = encode_beams,
    .beam_scratch = beam_scratch,
    .count_flips = count_flips,
    .flip_scratch = flip_scratch,
};

}  // namespace recops::residual_quantization::RECOPS_ISA
