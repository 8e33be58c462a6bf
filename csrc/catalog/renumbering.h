// New numbers of elements when whole runs move: i becomes i plus the shift of its run. With few runs, nearly all blocks
// of numbers have a single shift. A table per block fits into the cache; a table per number would not.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace recops::catalog {

class Renumbering {
 public:
  // For numbers below `size`.
  explicit Renumbering(int64_t size) : blocks_(static_cast<size_t>(size / kBlock + 1)) {}

  // Adds `by` to the numbers [begin, end). Runs must come in ascending order. Numbers outside all runs must not be
  // looked up.
  void shift(int64_t begin, int64_t end, int64_t by) {
    while (begin < end) {
      const int64_t block = begin / kBlock, stop = std::min(end, (block + 1) * kBlock);
      Block& at = blocks_[static_cast<size_t>(block)];
      if (stop - begin == kBlock) {
        at.shift = static_cast<int32_t>(by);
      } else {
        if (at.parts < 0) {
          at.parts = static_cast<int32_t>(parts_.size());
          parts_.resize(parts_.size() + kBlock);
        }
        const auto part = parts_.begin() + at.parts;
        std::fill(part + begin % kBlock, part + (begin % kBlock + stop - begin), static_cast<int32_t>(by));
      }
      begin = stop;
    }
  }

  int32_t operator[](int32_t i) const {
    const Block& block = blocks_[static_cast<size_t>(i / kBlock)];
    return i + (block.parts < 0 ? block.shift : parts_[static_cast<size_t>(block.parts + i % kBlock)]);
  }

 private:
  static constexpr int32_t kBlock = 64;
  struct Block {
    int32_t shift = 0;
    int32_t parts = -1;  // start of the per-number shifts of a block with several runs, or −1
  };
  std::vector<Block> blocks_;
  std::vector<int32_t> parts_;
};

}  // namespace recops::catalog
