// Stable least-significant-digit radix sort of row numbers.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace recops {

// Rows 0 … count − 1, sorted by successive keys, the least significant first. A key and its row number share one 64-bit
// word, so each pass moves one word per row: O(count) for every 11 bits of key.
class RowSorter {
 public:
  // Positions are counted in 32 bits.
  static constexpr int64_t kMostRows = std::numeric_limits<uint32_t>::max();

  explicit RowSorter(int64_t count) : row_bits_(std::bit_width(static_cast<uint64_t>(checked(count)))), words_(count) {
    for (int64_t row = 0; row < count; ++row) words_[row] = static_cast<uint64_t>(row);
  }

  int key_bits() const { return 64 - row_bits_; }  // largest width of a key
  int64_t operator[](int64_t place) const { return static_cast<int64_t>(words_[place] & row_mask()); }
  uint64_t key(int64_t place) const { return words_[place] >> row_bits_; }  // key of the last sort

  // Sorts by key(row) < 2^bits. Rows with equal keys keep their order.
  template <class Key>
  void sort(int bits, const Key& key) {
    for (uint64_t& word : words_) {
      const uint64_t row = word & row_mask();
      word = key(static_cast<int64_t>(row)) << row_bits_ | row;
    }
    for (int shift = row_bits_; shift < row_bits_ + bits; shift += kDigitBits) sort_digit(shift);
  }

 private:
  static constexpr int kDigitBits = 11;
  static constexpr uint64_t kDigits = uint64_t{1} << kDigitBits;

  static int64_t checked(int64_t count) {
    if (count <= kMostRows) return count;
    throw std::invalid_argument("recops: rows to sort must be at most " + std::to_string(kMostRows) + ", got " +
                                std::to_string(count));
  }

  uint64_t row_mask() const { return (uint64_t{1} << row_bits_) - 1; }

  void sort_digit(int shift) {
    std::array<uint32_t, kDigits> places{};
    for (uint64_t word : words_) ++places[word >> shift & (kDigits - 1)];
    uint32_t next = 0;
    for (uint32_t& place : places) {
      const uint32_t count = place;
      place = next;
      next += count;
    }
    sorted_.resize(words_.size());
    for (uint64_t word : words_) sorted_[places[word >> shift & (kDigits - 1)]++] = word;
    words_.swap(sorted_);
  }

  int row_bits_;
  std::vector<uint64_t> words_, sorted_;
};

}  // namespace recops
