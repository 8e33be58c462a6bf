// Kernels of a table's gradient. Occurrences of ids are sorted by row, so those of a row are a run of equal keys.
//
// write_keys finds the row of each occurrence. sum_chunks sums the runs inside chunks of kChunk keys. join_chunks adds
// the parts of runs that continue over several chunks.
#pragma once

#include <cstdint>

#include "common/device.h"
#include "common/device_integers.h"
#include "embedding/cuda.h"
#include "embedding/cuda_columns.h"

namespace recops::embedding::cuda {

constexpr int kKeyThreads = 256, kChunkThreads = 128;

// Ids of a feature of the table, and their first occurrence.
struct Source {
  DeviceIntegers ids;  // [count, each]
  int64_t begin;
  int each, column;
};

struct Sources {
  Source sources[kMostFeatures];
  int count;
  int64_t total;  // occurrences

  __device__ const Source& of(int64_t occurrence) const {
    int i = 0;
    while (i + 1 < count && occurrence >= sources[i + 1].begin) ++i;
    return sources[i];
  }
};

__global__ void __launch_bounds__(kKeyThreads)
    find_keys(const __grid_constant__ Sources sources, int64_t num_rows, int64_t padding, DevicePointer<int32_t> keys) {
  const int64_t i = int64_t{blockIdx.x} * kKeyThreads + threadIdx.x;
  if (i >= sources.total) return;
  const Source& source = sources.of(i);
  const int64_t id = source.ids[i - source.begin];
  keys[i] = static_cast<int32_t>(id < 0 || id >= num_rows || id == padding ? num_rows : id);
}

// Runs of equal keys and the values to sum.
template <class S>
struct RunArguments {
  Sources sources;
  DevicePointer<const S> values;  // [count, stride]
  int64_t stride;
  DevicePointer<const int32_t> keys;   // [total], ascending
  DevicePointer<const int64_t> order;  // [total]
  DevicePointer<float> parts;          // [chunks, 2, width]: of the run from before the chunk, and of that after it
  int num_rows, width, lanes;
  int64_t chunks;
};

template <class S>
struct GradientArguments : RunArguments<S> {
  DevicePointer<S> gradient;  // [num_rows, width]
};

// Writes sums to the gradient of the table. A writer takes the complete sum of a row from each lane, with the first
// column of the lane. kNeedsAllLanes: also from lanes whose column is outside the row.
template <class S, int count>
struct GradientWriter {
  static constexpr bool kNeedsAllLanes = false;
  const GradientArguments<S>& a;

  __device__ void write(const Columns<count>& sum, int key, int column) const {
    StoredColumns<S, count>::rounded(sum).write(a.gradient + (int64_t{key} * a.width + column));
  }
};

// A chunk of keys and some columns of its values.
template <class S, int count, class Writer>
class ChunkSummer {
 public:
  __device__ ChunkSummer(const RunArguments<S>& a, const Writer& writer, int64_t chunk, int column)
      : a_(a),
        writer_(writer),
        chunk_(chunk),
        column_(column),
        begin_(chunk * kChunk),
        end_(begin_ + kChunk < a.sources.total ? begin_ + kChunk : a.sources.total) {}

  __device__ void sum() {
    constexpr int kAhead =
        count == 1 && !Writer::kNeedsAllLanes ? 4 : 2;  // reads in flight; with more, registers spill
    int key = a_.keys[begin_];
    bool starts_here = begin_ == 0 || a_.keys[begin_ - 1] != key;
    Columns<count> sum;
    sum.clear();
    for (int64_t first = begin_; first < end_; first += kAhead) {
      int keys[kAhead];
      Columns<count> values[kAhead];
      RECOPS_UNROLL
      for (int i = 0; i < kAhead; ++i) {
        keys[i] = first + i < end_ ? a_.keys[first + i] : a_.num_rows;
        if (keys[i] < a_.num_rows && is_inside())
          values[i] = value_at(first + i);
        else
          values[i].clear();
      }
      RECOPS_UNROLL
      for (int i = 0; i < kAhead; ++i) {
        if (first + i >= end_) break;
        if (keys[i] != key) {
          write(sum, key, starts_here, true);
          key = keys[i];
          starts_here = true;
          sum.clear();
        }
        sum.add(values[i]);
      }
    }
    write(sum, key, starts_here, end_ == a_.sources.total || a_.keys[end_] != key);
  }

  // Adds the parts of the run that starts in this chunk and continues after it.
  __device__ void join() {
    if (end_ == a_.sources.total) return;
    const int key = a_.keys[end_ - 1];
    if (key >= a_.num_rows || a_.keys[end_] != key) return;
    if (begin_ > 0 && a_.keys[begin_ - 1] == key) return;  // the run starts in an earlier chunk
    Columns<count> sum = part(chunk_, 1);
    for (int64_t chunk = chunk_ + 1; chunk < a_.chunks && a_.keys[chunk * kChunk] == key; ++chunk)
      sum.add(part(chunk, 0));
    writer_.write(sum, key, column_);
  }

 private:
  __device__ bool is_inside() const { return !Writer::kNeedsAllLanes || column_ < a_.width; }

  __device__ Columns<count> value_at(int64_t position) const {
    const int64_t occurrence = a_.order[position];
    const Source& source = a_.sources.of(occurrence);
    // Occurrences have 31 bits, and a division of 64 bits is slow.
    const unsigned bag = static_cast<unsigned>(occurrence - source.begin) / static_cast<unsigned>(source.each);
    return StoredColumns<S, count>::read(a_.values + (bag * a_.stride + source.column + column_)).widened();
  }

  __device__ void write(const Columns<count>& sum, int key, bool starts_here, bool ends_here) {
    if (key >= a_.num_rows) return;
    if (starts_here && ends_here) return writer_.write(sum, key, column_);
    if (!is_inside()) return;
    RECOPS_UNROLL
    for (int i = 0; i < count; ++i) a_.parts[part_index(chunk_, starts_here ? 1 : 0) + i] = sum.values[i];
  }

  __device__ int64_t part_index(int64_t chunk, int which) const { return (2 * chunk + which) * a_.width + column_; }

  __device__ Columns<count> part(int64_t chunk, int which) const {
    Columns<count> columns;
    columns.clear();
    if (!is_inside()) return columns;
    RECOPS_UNROLL
    for (int i = 0; i < count; ++i) columns.values[i] = a_.parts[part_index(chunk, which) + i];
    return columns;
  }

  const RunArguments<S>& a_;
  const Writer writer_;
  int64_t chunk_;
  int column_;
  int64_t begin_, end_;
};

template <class S, int count, class Writer, class F>
__device__ void for_columns(const RunArguments<S>& a, const Writer& writer, const F& f) {
  const int64_t thread = int64_t{blockIdx.x} * kChunkThreads + threadIdx.x, chunk = thread / a.lanes;
  if (chunk >= a.chunks) return;
  const int first = static_cast<int>(thread % a.lanes) * count;
  for (int column = first; column - (Writer::kNeedsAllLanes ? first : 0) < a.width; column += a.lanes * count)
    f(ChunkSummer<S, count, Writer>(a, writer, chunk, column));
}

template <class S, int count, class Writer>
__device__ void sum_columns(const RunArguments<S>& a, const Writer& writer) {
  for_columns<S, count>(a, writer, [](auto&& chunk) { chunk.sum(); });
}

template <class S, int count, class Writer>
__device__ void join_columns(const RunArguments<S>& a, const Writer& writer) {
  for_columns<S, count>(a, writer, [](auto&& chunk) { chunk.join(); });
}

template <class S, int count>
__global__ void __launch_bounds__(kChunkThreads) sum_chunks(const __grid_constant__ GradientArguments<S> a) {
  sum_columns<S, count>(a, GradientWriter<S, count>{a});
}

template <class S, int count>
__global__ void __launch_bounds__(kChunkThreads) join_chunks(const __grid_constant__ GradientArguments<S> a) {
  join_columns<S, count>(a, GradientWriter<S, count>{a});
}

}  // namespace recops::embedding::cuda
