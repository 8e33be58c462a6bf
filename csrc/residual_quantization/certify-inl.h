// The nearest codewords of a level by way of a grid: exactly those that kernel.h's scores choose, found from dot
// products of small integers, which bound those scores from below. Part of cpu-inl.h.
//
//   1. Bound all scores of a row from below; take the codeword of the least bound, and from its dot product in floats
//      an upper bound on its score, hence on the best.
//   2. Codewords whose lower bound is above that are out. Of the others, mostly one or a few, take dot products too.
//   3. Where those are apart by less than rounding may be, take the scores themselves, in the order of the tile.
// A row that leaves too many codewords goes to the tiles of floats instead.
#pragma once

namespace recops::residual_quantization::RECOPS_ISA {
namespace {

// Less of these, and packing grids or rounding rows costs what the scan saves.
constexpr int64_t kGridRows = 1024, kGridDim = kVectorRegisters == 32 ? 48 : 128, kGridCodewords = 64;

constexpr int64_t kMostSurvivors = 64;
constexpr int64_t kScanRows = 8 * kTileRows;  // whose bounds are kept at a time
constexpr int64_t kScanBytes = 256 << 10;     // that those may take
constexpr int32_t kUndecided = -1;

int64_t scan_stride(int64_t codewords) { return panels_of<float>(codewords) * kWidth<float>; }

// Rows of a scan over levels of at most so many codewords.
int64_t scan_rows(int64_t codewords) {
  const int64_t fit = kScanBytes / (4 * scan_stride(codewords)) / kTileRows * kTileRows;
  return std::clamp(fit, int64_t{kTileRows}, kScanRows);
}

// Costs a row, in cycles of a core that starts a multiply-add of a whole vector in each. They weigh the ways to find
// its codeword; nothing else depends on them.
struct Costs {
  int64_t floats, dot, scores;

  Costs(int64_t codewords, int64_t dim)
      : floats(scan_stride(codewords) * dim / kLanes<float>), dot(2 * dim / kLanes<float> + 40), scores(6 * dim + 50) {}

  template <class Grid>
  int64_t scan() const {
    return floats / Grid::kGroup;
  }
  // So many dot products, on average as few, cost less than the tiles of floats.
  int64_t most_survivors() const { return std::clamp(floats / dot / 2, int64_t{2}, kMostSurvivors); }
};

// What rounding leaves open of the level whose codewords `panels` holds.
template <class S>
struct Certifier {
  Panels<S> panels;
  Costs costs;
  float share;  // see score_rounding; of dot products as well

  explicit Certifier(const Panels<S>& of)
      : panels(of),
        costs(of.count, of.dim),
        share(score_rounding(of.dim) + static_cast<float>(of.dim / kLanes<float> + 16) * kRounding) {}

  float half(int64_t k) const {
    return panels.packed[k / kWidth<float> * panel_size<float>(panels.dim) + k % kWidth<float>];
  }

  Vec<float> codeword(int64_t k, int64_t d) const {
    return load_codeword(panels.codewords + k * panels.dim, d, panels.dim, panels.shift);
  }

  // The score by another order of summation, and how far that can be from kernel.h's.
  float estimate(const float* row, float norm, int64_t k, float& apart) const {
    Vec<float> sum[2] = {};
    int64_t d = 0;
    for (; d + 2 * kLanes<float> <= panels.dim; d += 2 * kLanes<float>)
      for (int v = 0; v < 2; ++v) sum[v] += load(row + d + v * kLanes<float>) * codeword(k, d + v * kLanes<float>);
    for (; d < panels.dim; d += kLanes<float>) sum[0] += load_as_compute(row + d, panels.dim - d) * codeword(k, d);
    const float h = half(k);
    apart = share * (h + norm * std::sqrt(2 * h) * 1.001f) + static_cast<float>(panels.dim) * 1e-36f;
    return h - reduce_add<float>(sum[0] + sum[1]);
  }

  // kernel.h's scores of up to a vector's worth of codewords, one a lane: ½‖c‖² less the products in the order of
  // dimensions. Scalars would not do: compilers take their products apart from the differences and round both.
  Vec<float> scores(const float* row, const int32_t* k, int64_t count) const {
    constexpr int lanes = kLanes<float>;
    const auto codeword_of = [&](int lane) { return k[lane < count ? lane : 0]; };
    float halves[lanes];
    for (int i = 0; i < lanes; ++i) halves[i] = half(codeword_of(i));
    Vec<float> score = load(halves);
    for (int64_t d = 0; d < panels.dim; d += lanes) {
      Vec<float> value[lanes];
      for (int i = 0; i < lanes; ++i) value[i] = codeword(codeword_of(i), d);
      transpose<float>(value);
      for (int i = 0; i < lanes && d + i < panels.dim; ++i) score -= broadcast(row[d + i]) * value[i];
    }
    return score;
  }

  // The nearest of a row of zeros, as a perfect fit leaves: its scores are the halves themselves.
  int32_t nearest_to_zero() const {
    int64_t index = 0;
    for (int64_t k = 1; k < panels.count; ++k)
      if (half(k) < half(index)) index = k;
    return static_cast<int32_t>(index);
  }

  // The codeword of the least of `least_scores`, of which `least` are the lane minima.
  int64_t most_likely(const float* least_scores, Vec<float> least) const {
    const Vec<float> value = broadcast(reduce<float>(least, [](Vec<float> a, Vec<float> b) { return a < b ? a : b; }));
    int64_t k = 0;
    uint32_t bits = 0;
    for (; bits == 0 && k < panels.count; k += kLanes<float>) bits = mask_bits<float>(load(least_scores + k) == value);
    return bits == 0 ? 0 : std::min(k - kLanes<float> + __builtin_ctz(bits), panels.count - 1);
  }

  // The nearest codeword of a row, or kUndecided. Adds to `cost` what was spent.
  int32_t decide(const float* row, const GridRow& rounded, const float* least_scores, int64_t likely,
                 int64_t& cost) const {
    float apart;
    const float first = estimate(row, rounded.norm, likely, apart);
    float most = first + apart;  // that the best score can be
    int32_t survivors[kMostSurvivors];
    int64_t count = 0;
    const int64_t limit = costs.most_survivors();
    for (int64_t k = 0; k < panels.count; k += kLanes<float>)
      for (uint32_t bits = mask_bits<float>(load(least_scores + k) <= most); bits != 0; bits &= bits - 1) {
        if (count == limit) return kUndecided;
        survivors[count++] = static_cast<int32_t>(k + __builtin_ctz(bits));
      }
    if (count == 1) return static_cast<int32_t>(likely);
    float least[kMostSurvivors];
    for (int64_t i = 0; i < count; ++i) {
      const bool out = least_scores[survivors[i]] > most;
      cost += out ? 0 : costs.dot;
      const float value = out ? infinity<float>() : estimate(row, rounded.norm, survivors[i], apart);
      least[i] = value - apart;
      most = std::min(most, value + apart);
    }
    int64_t left = 0;
    for (int64_t i = 0; i < count; ++i)
      if (least[i] <= most) survivors[left++] = survivors[i];
    if (left == 1) return survivors[0];
    float best = infinity<float>();
    int32_t index = kUndecided;
    for (int64_t i = 0; i < left; i += kLanes<float>) {
      float score[kLanes<float>];
      store(score, scores(row, survivors + i, left - i));
      for (int64_t j = 0; j < kLanes<float> && i + j < left; ++j)
        if (score[j] < best) best = score[j], index = survivors[i + j];
      cost += costs.scores;
    }
    return index;
  }
};

// Memory for a scan, laid out from `base`; from null it only counts.
struct Scan {
  int64_t rows;
  char* values;         // [rows] rounded rows
  float* least_scores;  // [rows, scan_stride]
  Vec<float>* least;    // [rows]
  GridRow* rounded;     // [rows]
  int64_t* likely;      // [rows]
  int32_t* undecided;   // [rows]
  float* spare;         // [rows, dim]
  int64_t bytes;

  Scan(int64_t codewords, int64_t dim, void* base) : rows(scan_rows(codewords)), bytes(0) {
    const auto take = [&]<class U>(U*& field, int64_t count) {
      field = reinterpret_cast<U*>(static_cast<char*>(base) + bytes);
      bytes += round_up(count * int64_t{sizeof(U)}, 64);
    };
    take(least, rows);
    take(values, rows * grid_row_size<Grid16>(dim));
    take(least_scores, rows * scan_stride(codewords));
    take(rounded, rows);
    take(likely, rows);
    take(undecided, rows);
    take(spare, rows * dim);
  }
};

// The nearest codewords of up to scan.rows rows. Returns what was spent beside the scan.
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
    rounded.error += (score_rounding(dim) + 12 * kRounding) * rounded.norm;
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
    int32_t* found = reinterpret_cast<int32_t*>(scan.likely);
    nearest_of_level(scan.spare, left, panels, best, found);
    for (int64_t i = 0; i < left; ++i) index[scan.undecided[i]] = found[i];
  }
  return cost;
}

// Which grid, if any, a level's rows go through: the first of those packed whose bounds decide enough. Starts over in
// every range of rows, so that no row's way depends on the division of the work; its codeword never does.
struct Way {
  int grid;  // of Grids; 2: floats
  int64_t rows, spent;

  void settle(const Grids& grids, const Costs& costs) {
    // The next grid's scan costs as much again as this one's, the floats' twice that of 16 bits.
    const int64_t most = (grid == 0 ? costs.scan<Grid8>() : costs.scan<Grid16>() * 3 / 4);
    if (!grids.kept && rows >= kScanRows && spent > rows * most) *this = {grid + 1, 0, 0};
    while (grid < 2 && grids.panels[grid] == nullptr) ++grid;
  }
};

// The nearest codewords of rows by the level's way, as far as that goes by grids: returns how many rows it took.
template <class S>
int64_t nearest_by_grids(const float* rows, int64_t count, const Panels<S>& panels, const Grids& grids,
                         int64_t first_panel, Way& way, const Scan& scan, Best<float>* best, int32_t* index) {
  const Certifier<S> certifier(panels);
  const int64_t dim = panels.dim;
  int64_t n = 0;
  for (way.settle(grids, certifier.costs); n < count && way.grid < 2; way.settle(grids, certifier.costs)) {
    const int64_t taken = std::min(scan.rows, count - n);
    const auto scan_with = [&]<class Grid>(Grid) {
      const char* grid = static_cast<const char*>(grids.panels[way.grid]) + first_panel * grid_panel_size<Grid>(dim);
      return nearest_by_grid<Grid>(rows + n * dim, taken, certifier, grid, scan, best, index + n);
    };
    way.spent += way.grid == 0 ? scan_with(Grid8{}) : scan_with(Grid16{});
    way.rows += taken;
    n += taken;
  }
  return n;
}

// ---- Panels of grids, packed beforehand.

template <class F>
auto with_grid(int bits, const F& f) {
  return bits == 8 ? f(Grid8{}) : f(Grid16{});
}

// Whether this machine computes with grids at all, and of which grid it has instructions.
bool has_grids(const Codebooks& books) {
  bool has = compute_bytes(books.codewords) == 4 && books.codewords.dim <= 65536;
#if defined(__AVX512BW__)
  has &= cpu_has_vnni();
#endif
  return has;
}
constexpr bool is_fast(int bits) {
#if defined(__AVX512BW__)
  return bits <= 16;
#elif defined(__AVX2__)
  return bits == 16;
#else
  return bits == 0;
#endif
}

int64_t grid_panel_bytes(const Codebooks& books, int bits) {
  if (!has_grids(books)) return 0;
  return with_grid(bits, [&]<class Grid>(Grid) { return grid_panel_size<Grid>(books.codewords.dim); });
}

bool grid_pays(const Codebooks& books, int64_t rows, int bits) {
  return is_fast(bits) && has_grids(books) && rows >= kGridRows && books.codewords.dim >= kGridDim &&
         books.codewords.rows >= kGridCodewords * books.levels;
}

void pack_grid(const Codebooks& books, const void* packed, int bits, int64_t begin, int64_t end, void* grid) {
  with_stored_type(books.codewords.dtype, [&]<class S>(S) {
    if constexpr (std::is_same_v<Compute<S>, float>)
      with_grid(bits, [&]<class Grid>(Grid) {
        const int64_t dim = books.codewords.dim;
        int64_t panel = 0;
        for (int64_t l = 0; l < books.levels; ++l)
          for (int64_t first = books.offsets[l]; first < books.offsets[l + 1]; first += kWidth<float>, ++panel) {
            if (panel < begin || panel >= end) continue;
            pack_grid_panel<Grid>(static_cast<const S*>(books.codewords.data) + first * dim,
                                  books.offsets[l + 1] - first, dim, static_cast<const float*>(books.shift_of(l)),
                                  static_cast<const float*>(packed) + panel * panel_size<float>(dim),
                                  static_cast<char*>(grid) + panel * grid_panel_size<Grid>(dim));
          }
      });
  });
}

}  // namespace
}  // namespace recops::residual_quantization::RECOPS_ISA
