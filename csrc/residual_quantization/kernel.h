// Kernels of residual quantization on raw pointers: results, memory layouts and order of operations.
//
// Matrices are dense and row-major. The compute type is double for float64 and float for float32, bfloat16 and float16.
// Outputs never overlap inputs. Kernels do not allocate, throw or start threads: op.cpp supplies scratch memory and
// divides the rows. The division changes no bit of any result.
#pragma once

#include <cstdint>

#include "common/dtype.h"
#include "common/indices.h"
#include "common/isa.h"

namespace recops::residual_quantization {

struct Matrix {
  const void* data;
  Dtype dtype;
  int64_t rows;
  int64_t dim;
};

// Codewords of all levels in one matrix: level l owns rows [offsets[l], offsets[l + 1]) of `codewords`.
//
//   row of codewords    0 … K₀ − 1          K₀ … K₀ + K₁ − 1    …
//   contents            level 0 [K₀, dim]   level 1 [K₁, dim]   …      offsets = 0, K₀, K₀ + K₁, …
struct Codebooks {
  Matrix codewords;
  const int64_t* offsets;
  int64_t levels;
  // [dim] of the compute type, or null. Level 0 subtracts the shift from rows and codewords before it scores them.
  // Without it, scores of data far from the origin lose the digits that all of them share (see find_shift).
  const void* shift = nullptr;

  const void* shift_of(int64_t level) const { return level == 0 ? shift : nullptr; }
};

// Codeword panels rounded to 8-bit and to 16-bit integers; a null pointer means that the grid is absent. `encode` stops
// using a grid that decides too few codes, unless `kept` is true.
struct Grids {
  const void* panels[2];
  bool kept;
};

// Tables of beam search: products between codewords of different levels, in the compute type. The integer search also
// needs the products in 16 bits (`coarse`) and a 16-bit grid. Those two are both present or both null, and require
// `products`.
struct BeamTables {
  const void* products;
  const void* coarse;
  const void* grid;
};

// Encoding reads codewords as panels. A panel holds `width` codewords, the width of the register tile, and is
// transposed: a vector load gives one coordinate of several codewords. A panel is [1 + dim][width] of the compute type:
//
//            codeword 0   codeword 1   …  codeword width − 1
//    row 0     ½‖c₀‖²       ½‖c₁‖²     …    +inf               (+inf: no such codeword, never chosen)
//    row 1     c₀[0]        c₁[0]      …    0
//    row 2     c₀[1]        c₁[1]      …    0
//    …
//    row dim   c₀[dim − 1]  c₁[dim − 1] …   0
//
// Every level starts a new panel; the panels of all levels follow one another. The score ½‖c‖² − r·c orders codewords
// as ‖r − c‖² does. It is accumulated from row 0 down, so every codeword and every data row use the same order of
// dimensions.
struct Kernels {
  int64_t (*num_panels)(const Codebooks&);
  int64_t (*panel_bytes)(const Codebooks&);  // bytes of one panel

  // Writes the shift and returns whether any coordinate is nonzero. The shift is about the mean of level 0's codewords
  // (of a sample of at most 64). Each coordinate is rounded to a multiple of the power of two above twice the mean
  // deviation. Codewords around the origin therefore get no shift. Values with few digits, such as integers, keep exact
  // scores and exact ties.
  bool (*find_shift)(const Codebooks&, void* shift);

  // Packs panels [begin, end) into their positions in `packed`. Returns the first codeword with a squared norm that is
  // not finite, or −1.
  int64_t (*pack)(const Codebooks&, int64_t begin, int64_t end, void* packed);

  // Integer grids. A grid has one panel of grid_panel_bytes per float panel; 0 bytes mean that grids are not supported.
  // They give the same codes as the float search whenever the compute type is float and dim ≤ 32768. grid_pays says
  // whether a grid saves time for `rows` rows.
  int64_t (*grid_panel_bytes)(const Codebooks&, int bits);
  bool (*grid_pays)(const Codebooks&, int64_t rows, int bits);
  void (*pack_grid)(const Codebooks&, const void* packed, int bits, int64_t begin, int64_t end, void* grid);

  // Greedy residual quantization of rows [begin, end) of x. Starting with r = x, for each level l:
  //
  //   codes[n, l] = argmin_k ‖r − c_lk‖² (the lowest k on ties);   r ← r − c_l,codes[n, l]
  //
  // After the last level, sq_error[n] = ‖r‖², in the compute type. A row with a value that is not finite gets codes −1
  // and error NaN.
  //
  // Rows are processed in blocks that stay in cache through all levels. Within a block the outer loop is over panels
  // and the inner loop over tiles of rows. If `packed` is null, each block packs the panels one by one into scratch,
  // which is faster for a single small block. The result is then the first codeword with a squared norm that is not
  // finite, or −1.
  //
  // Grids require packed panels. They replace most float products and change no bit of any result.
  int64_t (*encode)(const Matrix& x, const Codebooks&, const void* packed, const Grids&, int64_t begin, int64_t end,
                    int32_t* codes, void* sq_error, void* scratch);
  int64_t (*encode_scratch)(const Codebooks&, int64_t rows, bool by_grids);  // bytes for a range of `rows` rows

  // The k nearest codewords of a single codebook, ordered by distance, then index: index[n, j], sq_distance[n, j]. The
  // search uses scores; the distances of its results are then computed from the difference. Rows that are not finite
  // get −1 and NaN. `packed`, scratch and the return value are as for encode.
  int64_t (*nearest)(const Matrix& x, const Codebooks&, const void* packed, int64_t k, int64_t begin, int64_t end,
                     int32_t* index, void* sq_distance, void* scratch);
  int64_t (*nearest_scratch)(const Codebooks&, int64_t k);

  // Checks rows [begin, end) of codes [rows, levels]. Returns the first position whose code is neither −1 nor in its
  // level's codebook, or −1.
  int64_t (*find_invalid)(const Indices& codes, const int64_t* offsets, int64_t levels, int64_t begin, int64_t end);

  // out[n] = Σ_l c_l,codes[n, l] for rows [begin, end). Levels are summed in order in the compute type; the result has
  // the dtype of the codewords. Code −1 adds nothing. Returns the first invalid position, as find_invalid does, or −1.
  int64_t (*decode)(const Indices& codes, const Codebooks&, int64_t begin, int64_t end, void* out);

  // sums[offsets[l] + codes[n, l]] += weight[n] · x[n] for all rows, in order, for columns [begin, end). Each thread
  // owns whole columns, so the order of additions does not depend on the number of threads. Codes must be valid;
  // `weight` (compute type) may be null. sums is [offsets[levels], dim] of the compute type; the kernel zeroes its
  // columns.
  void (*accumulate)(const Matrix& x, const Indices& codes, const void* weight, const int64_t* offsets, int64_t levels,
                     int64_t begin, int64_t end, void* sums);

  // totals[codes[n]] += weight[n], or 1 if weight is null. The totals are double because float counts only up to 2^24.
  void (*accumulate_weight)(const Indices& codes, const void* weight, Dtype weight_dtype, int64_t rows,
                            int64_t num_codes, double* totals);

  // Products c_m·c of the codewords c of every level with all codewords c_m of earlier levels. Beam search adds them
  // instead of computing residuals. fill_table fills pieces [begin, end) of the table.
  int64_t (*table_bytes)(const Codebooks&);
  int64_t (*coarse_bytes)(const Codebooks&);            // bytes of the 16-bit products
  bool (*coarse_pays)(const Codebooks&, int64_t rows);  // whether the integer search saves time; see grid_pays
  int64_t (*table_pieces)(const Codebooks&);
  int64_t (*table_scratch)(const Codebooks&);
  void (*fill_table)(const Codebooks&, const void* packed, int64_t begin, int64_t end, void* table, void* coarse,
                     void* scratch);  // `coarse` may be null

  // Beam search for rows [begin, end) of x. Each level extends every path of a row by every code and keeps the `beam`
  // extensions with the least ‖x − Σ c‖²; ties go to the lower path. At the end the paths are ordered by squared error,
  // then by path. The error is computed from the residual, as in encode.
  //
  // The first `kept` paths are written: codes[n, b, l], sq_error[n, b]. Missing paths have codes −1 and error +inf.
  // Rows with values or scores that are not finite have codes −1 and error NaN.
  //
  // Without a product table, the search computes and scores the residual of every path. In both cases the scores of a
  // row against a level are computed in pieces and never stored completely.
  //
  // The integer search computes float scores only for the few candidates that the integers cannot exclude. Those dot
  // products use another order of summation. If two errors differ only by rounding, their order may therefore differ
  // from the float search.
  int64_t (*encode_beams)(const Matrix& x, const Codebooks&, const void* packed, const BeamTables&, int64_t beam,
                          int64_t kept, int64_t begin, int64_t end, int32_t* codes, void* sq_error, void* scratch);
  int64_t (*beam_scratch)(const Codebooks&, int64_t beam, const BeamTables&);

  // Counts how often noise changes a code, over the finite rows in [begin, end) of x. For level l, each row draws
  // `samples` times: normal noise with standard deviation sigma[l] is added to every dimension of the level's residual.
  // flips[l] counts the draws that change the code; flips[levels] counts the finite rows. The noise depends only on
  // seed, row, level, sample and dimension.
  void (*count_flips)(const Matrix& x, const Codebooks&, const void* packed, const double* sigma, int64_t samples,
                      uint64_t seed, int64_t begin, int64_t end, int64_t* flips, void* scratch);
  int64_t (*flip_scratch)(const Codebooks&);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::residual_quantization
