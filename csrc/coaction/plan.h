// In which order candidates are worked on, and in what pieces.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "common/radix_sort.h"

namespace recops::coaction {

// Candidates a piece: whole groups of lanes on every machine, so that pieces, and with them the order of sums, depend
// on the batch alone.
constexpr int64_t kPiece = 64;

// Candidates of one user lie beside each other, users of equal length too; the lanes of a group are then as long as one
// another, but at the few places where lengths change.
class Plan {
 public:
  // users [size] or null, lengths [num_users] or null, none above `time`.
  Plan(int64_t size, const int64_t* users, int64_t num_users, const int64_t* lengths, int64_t time)
      : size_(size), users_(users) {
    if (!users && !lengths) return;
    std::vector<int64_t> rank(num_users);
    RowSorter by_length(num_users);
    if (lengths)
      by_length.sort(std::bit_width(static_cast<uint64_t>(time)),
                     [&](int64_t user) -> uint64_t { return lengths[user]; });
    for (int64_t place = 0; place < num_users; ++place) rank[by_length[place]] = place;
    RowSorter by_rank(size);
    by_rank.sort(std::bit_width(static_cast<uint64_t>(num_users)),
                 [&](int64_t b) -> uint64_t { return rank[users ? users[b] : b]; });
    order_.resize(size);
    for (int64_t place = 0; place < size; ++place) order_[place] = by_rank[place];
  }

  const int64_t* order() const { return order_.empty() ? nullptr : order_.data(); }
  int64_t size() const { return size_; }
  int64_t pieces() const { return (size_ + kPiece - 1) / kPiece; }
  int64_t user_at(int64_t place) const {
    const int64_t b = order_.empty() ? place : order_[place];
    return users_ ? users_[b] : b;
  }
  // Whether the user that a piece begins with has candidates in the piece before.
  bool continues(int64_t piece) const {
    return piece > 0 && users_ && user_at(piece * kPiece) == user_at(piece * kPiece - 1);
  }

 private:
  int64_t size_;
  const int64_t* users_;
  std::vector<int64_t> order_;
};

}  // namespace recops::coaction
