// The next version's arrays from a version's and what has changed since.
#pragma once

#include <cstdint>
#include <vector>

#include "catalog/changes.h"
#include "catalog/tables.h"

namespace recops::catalog {

// `base` with `changes` (by ascending id) made. O(changes · log base) to find what they touch, and one pass over the
// arrays at the speed of memory. Throws std::invalid_argument where nodes and items together pass 2^31 − 1.
Tables merge(const Tables& base, const std::vector<Change>& changes, const std::vector<int64_t>& vocab_sizes);

}  // namespace recops::catalog
