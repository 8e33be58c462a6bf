// Nearest codewords of many rows by integer grids, as long as the grids decide enough rows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "common/arena.h"
#include "residual_quantization/best-inl.h"
#include "residual_quantization/certify-inl.h"
#include "residual_quantization/grid-inl.h"
#include "residual_quantization/grid-panel-inl.h"
#include "residual_quantization/kernel.h"
#include "residual_quantization/panel-inl.h"
#include "residual_quantization/rounding-inl.h"
#include "residual_quantization/row-inl.h"
#include "simd/vector-inl.h"

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

constexpr int64_t kScanRows = 8 * kTileRows;  // rows whose bounds are kept at a time
constexpr int64_t kScanBytes = 256 << 10;     // limit on the size of those bounds

// Rows per scan for levels of at most `codewords` codewords.
int64_t scan_rows(int64_t codewords) {
  const int64_t fit = kScanBytes / (4 * scan_stride(codewords)) / kTileRows * kTileRows;
  return std::clamp(fit, int64_t{kTileRows}, kScanRows);
}

// Scratch memory of a scan, laid out from `base`. A null base only computes the size.
struct Scan {
  int64_t rows;
  char* values;         // [rows] rounded rows
  float* least_scores;  // [rows, scan_stride]
  Vec<float>* least;    // [rows]
  GridRow* rounded;     // [rows]
  int64_t* likely;      // [rows]
  int32_t* undecided;   // [rows]
  int32_t* found;       // [rows]
  float* spare;         // [rows, dim]
  int64_t bytes;

  Scan(int64_t codewords, int64_t dim, void* base) : rows(scan_rows(codewords)) {
    Arena arena(base);
    arena.take(least, rows);
    arena.take(values, rows * grid_row_size<Grid16>(dim));
    arena.take(least_scores, rows * scan_stride(codewords));
    arena.take(rounded, rows);
    arena.take(likely, rows);
    arena.take(undecided, rows);
    arena.take(found, rows);
    arena.take(spare, rows * dim);
    bytes = arena.used();
  }
};

// Finds the nearest codewords of up to scan.rows rows. Returns the cost in addition to the scan itself.
template <class Grid, class S>
int64_t nearest_by_grid(const float* rows, int64_t count, const Certifier<S>& certifier, const char* grid,
                        const Scan& scan, Best<float>* best, int32_t* index) {
  using Value = typename Grid::Value;
  const Panels<S>& panels = certifier.panels;
  const int64_t dim = panels.dim, stride = scan_stride(panels.count);
  const int64_t row_size = grid_row_size<Grid>(dim) / int64_t{sizeof(Value)};
  Value* values = reinterpret_cast<Value*>(scan.values);
  for (int64_t n = 0; n < count; ++n) {
    GridRow& rounded = scan.rounded[n];
    rounded = round_row<Grid>(rows + n * dim, dim, values + n * row_size);
    rounded.error += bound_rounding(dim) * rounded.norm;
    scan.least[n] = broadcast(infinity<float>());
  }
  for (int64_t p = 0; p < panels.size(); ++p)
    bound_block<Grid>(values, scan.rounded, count, dim, grid + p * grid_panel_size<Grid>(dim),
                      scan.least_scores + p * kWidth<float>, stride, scan.least);
  for (int64_t n = 0; n < count; ++n) {
    scan.likely[n] = certifier.most_likely(scan.least_scores + n * stride, scan.least[n]);
    prefetch(panels.codewords + scan.likely[n] * dim, dim);
  }
  int64_t cost = 0, left = 0;
  for (int64_t n = 0; n < count; ++n) {
    const GridRow& rounded = scan.rounded[n];
    if (on_grid(rounded))
      index[n] = certifier.decide(rows + n * dim, rounded, scan.least_scores + n * stride, scan.likely[n], cost);
    else
      index[n] = rounded.norm == 0 ? certifier.nearest_to_zero() : kUndecided;
    if (index[n] == kUndecided) cost += certifier.costs.floats;
    if (index[n] == kUndecided) scan.undecided[left++] = static_cast<int32_t>(n);
  }
  for (int64_t i = 0; i < left; ++i)
    std::memcpy(scan.spare + i * dim, rows + scan.undecided[i] * dim, static_cast<size_t>(dim) * sizeof(float));
  if (left > 0) {
    nearest_of_level(scan.spare, left, panels, best, scan.found);
    for (int64_t i = 0; i < left; ++i) index[scan.undecided[i]] = scan.found[i];
  }
  return cost;
}

// The grid used for a level's rows: the first packed grid that decides enough rows. Every range of rows chooses again.
// The choice depends on how work is divided; the codes do not.
struct GridChoice {
  int grid;  // index into Grids; 2 means floats
  int64_t rows, spent;

  void settle(const Grids& grids, const Costs& costs) {
    // The next grid's scan costs twice this scan; the float scan costs twice the 16-bit scan. So a grid's extra cost
    // may reach one 8-bit scan, or three quarters of a 16-bit scan, before the next method is cheaper.
    const int64_t most = grid == 0 ? costs.scan<Grid8>() : costs.scan<Grid16>() * 3 / 4;
    if (!grids.kept && rows >= kScanRows && spent > rows * most) *this = {grid + 1, 0, 0};
    while (grid < 2 && grids.panels[grid] == nullptr) ++grid;
  }
};

// Finds the nearest codewords of rows with the level's grid, as long as one is in use. Returns how many rows were done.
template <class S>
int64_t nearest_by_grids(const float* rows, int64_t count, const Panels<S>& panels, const Grids& grids,
                         int64_t first_panel, GridChoice& choice, const Scan& scan, Best<float>* best, int32_t* index) {
  const Certifier<S> certifier(panels);
  const int64_t dim = panels.dim;
  int64_t n = 0;
  for (choice.settle(grids, certifier.costs); n < count && choice.grid < 2; choice.settle(grids, certifier.costs)) {
    const int64_t taken = std::min(scan.rows, count - n);
    const auto scan_with = [&]<class Grid>(Grid) {
      const char* grid = static_cast<const char*>(grids.panels[choice.grid]) + first_panel * grid_panel_size<Grid>(dim);
      return nearest_by_grid<Grid>(rows + n * dim, taken, certifier, grid, scan, best, index + n);
    };
    choice.spent += choice.grid == 0 ? scan_with(Grid8{}) : scan_with(Grid16{});
    choice.rows += taken;
    n += taken;
  }
  return n;
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
