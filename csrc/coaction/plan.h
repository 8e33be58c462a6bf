// Order of candidates, and their division into pieces.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "common/radix_sort.h"

namespace recops::coaction {

// Candidates per piece: a multiple of the lanes on every machine. Pieces, and so the order of sums, depend only on the
// batch.
constexpr int64_t kPiece = 64;

// Sorts candidates by the length of their users' histories, then by user. The lanes of a group then have equal lengths,
// except at the few positions where the length changes.
class Plan {
 public:
  // users is [size] or null; lengths is [num_users] or null, each at most `time`.
  Plan(int64_t size, const int64_t* users, int64_t num_users, const int64_t* lengths, int64_t time)
      : size_(size), users_(users) {
    if (!users && !lengths) return;
    std::vector<int64_t> rank(num_users);
    RowSorter by_length(num_users);
    if (lengths)
      by_length.sort(std::bit_width(static_cast<uint64_t>(time)),
                     [&](int64_t user) -> uint64_t { return lengths[user]; });
    for (int64_t position = 0; position < num_users; ++position) rank[by_length[position]] = position;
    RowSorter by_rank(size);
    by_rank.sort(std::bit_width(static_cast<uint64_t>(num_users)),
                 [&](int64_t b) -> uint64_t { return rank[users ? users[b] : b]; });
    order_.resize(size);
    for (int64_t position = 0; position < size; ++position) order_[position] = by_rank[position];
  }

  const int64_t* order() const { return order_.empty() ? nullptr : order_.data(); }
  int64_t size() const { return size_; }
  int64_t pieces() const { return (size_ + kPiece - 1) / kPiece; }
  int64_t user_at(int64_t position) const {
    const int64_t b = order_.empty() ? position : order_[position];
    return users_ ? users_[b] : b;
  }
  // Whether the first user of a piece also has candidates in the previous piece.
  bool continues(int64_t piece) const {
    return piece > 0 && users_ && user_at(piece * kPiece) == user_at(piece * kPiece - 1);
  }

 private:
  int64_t size_;
  const int64_t* users_;
  std::vector<int64_t> order_;
};

}  // namespace recops::coaction
