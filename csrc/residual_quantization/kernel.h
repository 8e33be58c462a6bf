// Residual quantization on raw pointers: what each kernel computes, on which layout, in which order of operations.
//
// A matrix is dense and row-major. Values stored as float, bfloat16 or float16 are computed with as float, double as
// double ("the compute type"). Outputs never overlap inputs. No kernel allocates, throws or starts a thread: the caller
// (op.cpp) brings scratch memory and divides the work, in ways that change no bit of any result.
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

// All levels' codewords one after another: level l owns rows offsets[l] up to offsets[l + 1] of `codewords`.
struct Codebooks {
  Matrix codewords;
  const int64_t* offsets;
  int64_t levels;
  // [dim] of the compute type, or null: what is subtracted from rows and codewords alike before level 0 scores them.
  // Scores lose the digits that all of them share, and find_shift keeps data far from the origin from having those.
  const void* shift = nullptr;

  const void* shift_of(int64_t level) const { return level == 0 ? shift : nullptr; }
};

// Panels of codewords rounded to integers of 8 and of 16 bits, either of which may be absent (null). Encoding leaves
// one that decides too few codes, unless it is to be kept.
struct Grids {
  const void* panels[2];
  bool kept;
};

// What a beam search looks up: the products of codewords of different levels, in the compute type, and to search by
// integers the same in 16 bits beside a grid of 16 bits. Those two are there or not (null) together, and only where
// products are.
struct BeamTables {
  const void* products;
  const void* coarse;
  const void* grid;
};

// Encoding reads codewords as *panels*: as many codewords as a register tile is wide, transposed, so that a vector
// holds one coordinate of as many codewords as it has lanes. A panel is [1 + dim][width] of the compute type; its first
// row is ½‖c‖², +inf where a codeword is missing, so that those never win. With it the score ½‖c‖² − r·c, which orders
// codewords as ‖r − c‖² does, is one accumulation, in the same order of dimensions for every codeword and row.
struct Kernels {
  int64_t (*num_panels)(const Codebooks&);
  int64_t (*panel_bytes)(const Codebooks&);  // of one panel

  // Writes the shift to `shift`, and returns whether any of it is not zero. It is about the mean of (up to 64
  // of) level 0's codewords, in each coordinate a multiple of the power of two next above twice their mean deviation.
  // So it is zero where the codewords lie about the origin; and values of few digits, such as integers, keep exact
  // scores, and their ties.
  bool (*find_shift)(const Codebooks&, void* shift);

  // Packs panels begin up to end to where they belong in `packed`. Returns the first codeword among them whose squared
  // norm is not finite, or −1.
  int64_t (*pack)(const Codebooks&, int64_t begin, int64_t end, void* packed);

  // A grid has as many panels as there are others, each of grid_panel_bytes. It pays for so many rows where this says
  // so; it may be used, and gives the same codes, wherever values are computed as float and dim ≤ 32768.
  int64_t (*grid_panel_bytes)(const Codebooks&, int bits);
  bool (*grid_pays)(const Codebooks&, int64_t rows, int bits);
  void (*pack_grid)(const Codebooks&, const void* packed, int bits, int64_t begin, int64_t end, void* grid);

  // Greedy residual quantization of rows begin up to end of x. Level by level, r = x at first:
  //   codes[n, l] = argmin_k ‖r − c_lk‖², the lowest k at ties;   r ← r − c_l,codes[n, l];   sq_error[n] = ‖r‖² at the
  //   end.
  // A row with a value that is not finite gets codes −1 and error NaN. sq_error is of the compute type.
  // Rows go in blocks that stay in cache through all levels; for a block, panels outside, tiles of rows inside.
  // `packed` may be null: the panels are then packed one by one into scratch, once per block, which pays where all rows
  // make one small block. Returns the first bad codeword met in doing so, or −1.
  // Grids, beside panels packed beforehand, save most of the products of floats and change no bit of any result.
  int64_t (*encode)(const Matrix& x, const Codebooks&, const void* packed, const Grids&, int64_t begin, int64_t end,
                    int32_t* codes, void* sq_error, void* scratch);
  int64_t (*encode_scratch)(const Codebooks&, int64_t rows, bool by_grids);  // bytes, for a range of so many rows

  // The k nearest codewords of the single codebook, by distance, then index: index[n, j], sq_distance[n, j]. They are
  // chosen by score; the distances of those chosen are then taken from the difference itself.
  // Rows that are not finite get −1 and NaN. packed, scratch and the result as for encode.
  int64_t (*nearest)(const Matrix& x, const Codebooks&, const void* packed, int64_t k, int64_t begin, int64_t end,
                     int32_t* index, void* sq_distance, void* scratch);
  int64_t (*nearest_scratch)(const Codebooks&, int64_t k);

  // The first position in rows begin up to end of codes [rows, levels] whose code is neither −1 nor one of its level's,
  // or −1.
  int64_t (*find_invalid)(const Indices& codes, const int64_t* offsets, int64_t levels, int64_t begin, int64_t end);

  // out[n] = Σ_l c_l,codes[n, l] for rows begin up to end, summed in order of levels in the compute type, stored as the
  // codewords are. Code −1 adds nothing. Returns the first invalid position, as find_invalid does, or −1.
  int64_t (*decode)(const Indices& codes, const Codebooks&, int64_t begin, int64_t end, void* out);

  // sums[offsets[l] + codes[n, l]] += weight[n] · x[n] for all rows in order, for columns begin up to end: one thread
  // owns a column of every sum, so that the order of addition never depends on the number of threads. Codes are valid;
  // `weight` (of the compute type) may be null. sums is [offsets[levels], dim] of the compute type; the kernel zeroes
  // its columns.
  void (*accumulate)(const Matrix& x, const Indices& codes, const void* weight, const int64_t* offsets, int64_t levels,
                     int64_t begin, int64_t end, void* sums);

  // totals[codes[n]] += weight[n], or 1 where weight is null: in double, since float counts no further than 2^24.
  void (*accumulate_weight)(const Indices& codes, const void* weight, Dtype weight_dtype, int64_t rows,
                            int64_t num_codes, double* totals);

  // The products c_m·c of the codewords c of every level with all codewords c_m of the levels before it: what beam
  // search adds up instead of making residuals. Pieces begin up to end of the table are filled.
  int64_t (*table_bytes)(const Codebooks&);
  int64_t (*coarse_bytes)(const Codebooks&);            // of those in 16 bits
  bool (*coarse_pays)(const Codebooks&, int64_t rows);  // where it does, it may be used: see grid_pays
  int64_t (*table_pieces)(const Codebooks&);
  int64_t (*table_scratch)(const Codebooks&);
  void (*fill_table)(const Codebooks&, const void* packed, int64_t begin, int64_t end, void* table, void* coarse,
                     void* scratch);  // `coarse` may be null

  // Beam search for rows begin up to end of x. From the empty path on, level by level, every path of a row is continued
  // by every code; the `beam` continuations of least ‖x − Σ c‖², then the lowest path, are kept. At the end the paths
  // are ordered by that error, taken from the residual itself as encode takes it, then by path, and the first `kept`
  // written: codes[n, b, l], sq_error[n, b]. Paths that do not exist have codes −1 and error +inf; rows that are not
  // finite, or whose scores are not, codes −1 and error NaN.
  // There may be no table of products: the residuals of all paths are then made and scored. Either way the scores of
  // one row against one level are never whole in memory, but in pieces. By integers, only the few candidates that those
  // cannot rule out are scored, by dot products in another order: errors that differ by rounding alone may then compare
  // otherwise than without integers.
  int64_t (*encode_beams)(const Matrix& x, const Codebooks&, const void* packed, const BeamTables&, int64_t beam,
                          int64_t kept, int64_t begin, int64_t end, int32_t* codes, void* sq_error, void* scratch);
  int64_t (*beam_scratch)(const Codebooks&, int64_t beam, const BeamTables&);

  // For rows begin up to end of x that are finite: flips[l], out of `samples` draws for each, is how often the code of
  // level l changes when the residual it was chosen for gets normal noise of deviation sigma[l] in each dimension;
  // flips[levels] is the number of those rows. The noise is a function of seed, row, level, sample and dimension.
  void (*count_flips)(const Matrix& x, const Codebooks&, const void* packed, const double* sigma, int64_t samples,
                      uint64_t seed, int64_t begin, int64_t end, int64_t* flips, void* scratch);
  int64_t (*flip_scratch)(const Codebooks&);
};

RECOPS_DECLARE_KERNELS(Kernels)

}  // namespace recops::residual_quantization
