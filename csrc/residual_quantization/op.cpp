// Residual quantization ops: schemas, data checks, memory and threads. cpu-inl.h has the arithmetic, arguments.h the
// checks of dtype and shape.
#include <algorithm>
#include <tuple>
#include <vector>

#include "residual_quantization/operands.h"

namespace recops::residual_quantization {
namespace {

bool by_grid(int64_t bits) { return bits == 8 || bits == 16; }

// Grids selected by `bits`. 0: the grids that save time. 8 or 16: only that grid. 32: no grid.
struct PackedGrids {
  Tensor tensors[2];
  Grids grids{{nullptr, nullptr}, false};

  PackedGrids(const Kernels& kernels, const Codebooks& books, const Tensor& packed, int64_t rows, int64_t bits,
              const Tensor& like) {
    grids.kept = bits != 0;
    for (int g = 0; g < 2; ++g) {
      const int own = g == 0 ? 8 : 16;
      if (kernels.grid_panel_bytes(books, own) == 0) continue;
      if (bits != own && !(bits == 0 && kernels.grid_pays(books, rows, own))) continue;
      tensors[g] = pack_grid_panels(kernels, books, packed, own, like);
      grids.panels[g] = tensors[g].data_ptr();
    }
  }

  bool any() const { return grids.panels[0] != nullptr || grids.panels[1] != nullptr; }
};

std::tuple<Tensor, Tensor> encode(const char* op, const Tensor& x, const Tensor& codewords,
                                  const std::vector<int64_t>& offsets, int64_t bits, int64_t& bad) {
  const Kernels& kernels = select_kernels();
  const Tensor rows = recops::contiguous(x), words = recops::contiguous(codewords);
  const Matrix matrix_x = matrix(op, "x", rows);
  const Shifted shifted(op, kernels, codebooks(op, words, offsets));
  const Codebooks& books = shifted.books;
  require_same_space(op, matrix_x, books);
  Tensor codes = empty({matrix_x.rows, books.levels}, ScalarType::Int, x);
  Tensor sq_error = empty({matrix_x.rows}, compute_type(matrix_x.dtype), x);
  const bool ready = matrix_x.rows >= kPackedRows || by_grid(bits);
  const Tensor packed = ready ? pack_panels(kernels, books, x, bad) : Tensor();
  if (bad >= 0) return {codes, sq_error};
  const PackedGrids packed_grids(kernels, books, packed, matrix_x.rows, bits, x);
  bad = search_rows(x, matrix_x.rows, kernels.encode_scratch(books, matrix_x.rows, packed_grids.any()),
                    [&](int64_t begin, int64_t end, void* scratch) {
                      return kernels.encode(matrix_x, books, ready ? packed.data_ptr() : nullptr, packed_grids.grids,
                                            begin, end, static_cast<int32_t*>(codes.data_ptr()), sq_error.data_ptr(),
                                            scratch);
                    });
  return {codes, sq_error};
}

std::tuple<Tensor, Tensor> rq_encode(Tensor x, Tensor codewords, std::vector<int64_t> sizes, int64_t bits) {
  const char* op = "rq_encode";
  const std::vector<int64_t> offsets = offsets_of(op, sizes);
  int64_t bad = -1;
  require_bits(op, bits, {8, 16});
  auto result = encode(op, x, codewords, offsets, bits, bad);
  require_finite(op, "codebooks", offsets, bad);
  return result;
}

std::tuple<Tensor, Tensor> nearest_codes(Tensor x, Tensor codebook, int64_t k) {
  const char* op = "nearest_codes";
  require_dim(op, "codebook", codebook, 2);
  const std::vector<int64_t> offsets = offsets_of(op, {codebook.size(0)});
  require_between(op, "k", k, 1, offsets[1]);
  int64_t bad = -1;
  std::tuple<Tensor, Tensor> result;
  if (k == 1) {
    auto [index, sq_distance] = encode(op, x, codebook, offsets, 0, bad);
    result = {index, torch::stable::unsqueeze(sq_distance, 1)};
  } else {
    const Kernels& kernels = select_kernels();
    const Tensor rows = recops::contiguous(x), words = recops::contiguous(codebook);
    const Matrix matrix_x = matrix(op, "x", rows);
    const Shifted shifted(op, kernels, codebooks(op, words, offsets));
    const Codebooks& books = shifted.books;
    require_same_space(op, matrix_x, books);
    Tensor index = empty({matrix_x.rows, k}, ScalarType::Int, x);
    Tensor sq_distance = empty({matrix_x.rows, k}, compute_type(matrix_x.dtype), x);
    const bool ready = matrix_x.rows >= kPackedRows;
    const Tensor packed = ready ? pack_panels(kernels, books, x, bad) : Tensor();
    if (bad < 0)
      bad = search_rows(
          x, matrix_x.rows, kernels.nearest_scratch(books, k), [&](int64_t begin, int64_t end, void* scratch) {
            return kernels.nearest(matrix_x, books, ready ? packed.data_ptr() : nullptr, k, begin, end,
                                   static_cast<int32_t*>(index.data_ptr()), sq_distance.data_ptr(), scratch);
          });
    result = {index, sq_distance};
  }
  require_value(bad < 0, op, ": codebook must be finite, and so its squared norms, got codebook[", bad, "]");
  return result;
}

// Returns the position of the first code that is neither −1 nor in its level's codebook, or −1.
int64_t find_invalid(const Kernels& kernels, const Indices& codes, int64_t rows, const std::vector<int64_t>& offsets) {
  const int64_t levels = static_cast<int64_t>(offsets.size()) - 1;
  return for_pieces(rows, kGrainBytes, [&](int64_t, int64_t begin, int64_t end) {
    return kernels.find_invalid(codes, offsets.data(), levels, begin, end);
  });
}

void require_valid(const char* op, const char* name, const Tensor& codes, const std::vector<int64_t>& offsets,
                   int64_t position) {
  if (position < 0) return;
  const int64_t levels = static_cast<int64_t>(offsets.size()) - 1;
  const int64_t row = position / levels, level = position % levels;
  throw std::out_of_range(concat(op, ": ", name, " must be from 0 to ", offsets[level + 1] - offsets[level] - 1,
                                 ", or -1 for none, got ", name, "[", row, codes.dim() == 2 ? concat(", ", level) : "",
                                 "] = ", indices(op, name, codes)[position]));
}

Tensor rq_decode(Tensor codes, Tensor codewords, std::vector<int64_t> sizes) {
  const char* op = "rq_decode";
  const Kernels& kernels = select_kernels();
  const std::vector<int64_t> offsets = offsets_of(op, sizes);
  const Tensor dense = recops::contiguous(codes), words = recops::contiguous(codewords);
  const Codebooks books = codebooks(op, words, offsets);
  require_dim(op, "codes", dense, 2);
  require_codes(op, "codes", dense, dense.size(0), books.levels);
  const Indices index = indices(op, "codes", dense);
  const int64_t rows = dense.size(0);
  Tensor out = empty({rows, books.codewords.dim}, codewords.scalar_type(), codewords);
  const int64_t invalid = for_pieces(
      rows, kGrainBytes / (books.codewords.dim + 1),
      [&](int64_t, int64_t begin, int64_t end) { return kernels.decode(index, books, begin, end, out.data_ptr()); });
  require_valid(op, "codes", dense, offsets, invalid);
  return out;
}

// Sums rows of x by code, in the compute type of x.
Tensor accumulate(const char* op, const char* name, const Tensor& x, const Tensor& codes, const void* weight,
                  const std::vector<int64_t>& offsets) {
  const Kernels& kernels = select_kernels();
  const Matrix rows = matrix(op, "values", x);
  const Indices index = indices(op, name, codes);
  const int64_t levels = static_cast<int64_t>(offsets.size()) - 1;
  require_codes(op, name, codes, rows.rows, levels);
  require_valid(op, name, codes, offsets, find_invalid(kernels, index, rows.rows, offsets));
  Tensor sums = empty({offsets.back(), rows.dim}, compute_type(rows.dtype), x);
  // Threads own whole cache lines of columns, so two threads never write to one line.
  constexpr int64_t line = kCacheLine / int64_t{sizeof(float)};
  const int64_t lines = (rows.dim + line - 1) / line;
  for_pieces(lines, kGrainBytes / (line * (rows.rows * levels + 1)) + 1, [&](int64_t, int64_t begin, int64_t end) {
    kernels.accumulate(rows, index, weight, offsets.data(), levels, begin * line, std::min(end * line, rows.dim),
                       sums.data_ptr());
    return int64_t{-1};
  });
  return sums;
}

Tensor rq_decode_backward(Tensor grad, Tensor codes, std::vector<int64_t> sizes) {
  const char* op = "rq_decode_backward";
  const Tensor sums =
      accumulate(op, "codes", recops::contiguous(grad), recops::contiguous(codes), nullptr, offsets_of(op, sizes));
  return sums.scalar_type() == grad.scalar_type() ? sums : torch::stable::to(sums, grad.scalar_type());
}

std::tuple<Tensor, Tensor> accumulate_codes(Tensor x, Tensor index, int64_t num_codes, std::optional<Tensor> weight) {
  const char* op = "accumulate_codes";
  const Kernels& kernels = select_kernels();
  const ScalarType type = compute_type(dtype_of(op, "x", x));
  std::optional<Tensor> scale;
  if (weight.has_value()) {
    require_dim(op, "x", x, 2);
    require_numel(op, "weight", *weight, x.size(0));
    scale = recops::contiguous(torch::stable::to(*weight, type));
  }
  const void* scale_data = scale.has_value() ? scale->data_ptr() : nullptr;
  const Tensor codes = recops::contiguous(index);
  const Tensor sums = accumulate(op, "index", recops::contiguous(x), codes, scale_data, offsets_of(op, {num_codes}));
  const Tensor totals = empty({num_codes}, ScalarType::Double, x);
  kernels.accumulate_weight(indices(op, "index", codes), scale_data, dtype_of(op, "sums", sums), codes.size(0),
                            num_codes, static_cast<double*>(totals.data_ptr()));
  return {sums, torch::stable::to(totals, type)};
}

}  // namespace

STABLE_TORCH_LIBRARY_FRAGMENT(recops, m) {
  m.def("rq_encode(Tensor x, Tensor codewords, SymInt[] sizes, int bits=0) -> (Tensor codes, Tensor sq_error)");
  m.def("rq_decode(Tensor codes, Tensor codewords, SymInt[] sizes) -> Tensor");
  m.def("rq_decode_backward(Tensor grad, Tensor codes, SymInt[] sizes) -> Tensor");
  m.def("nearest_codes(Tensor x, Tensor codebook, SymInt k) -> (Tensor index, Tensor sq_distance)");
  m.def("accumulate_codes(Tensor x, Tensor index, SymInt num_codes, Tensor? weight) -> (Tensor sums, Tensor weights)");
}

STABLE_TORCH_LIBRARY_IMPL(recops, CPU, m) {
  m.impl("rq_encode", TORCH_BOX(&rq_encode));
  m.impl("rq_decode", TORCH_BOX(&rq_decode));
  m.impl("rq_decode_backward", TORCH_BOX(&rq_decode_backward));
  m.impl("nearest_codes", TORCH_BOX(&nearest_codes));
  m.impl("accumulate_codes", TORCH_BOX(&accumulate_codes));
}

}  // namespace recops::residual_quantization
