// Merges changes into the arrays of a version.
#pragma once

#include <cstdint>
#include <vector>

#include "catalog/changes.h"
#include "catalog/tables.h"

namespace recops::catalog {

// Returns `base` with `changes` (by ascending id) applied. Finding the affected positions takes O(changes · log base);
// then one pass copies the arrays at memory speed. Throws std::invalid_argument if nodes and items together exceed 2^31
// − 1.
Tables merge(const Tables& base, const std::vector<Change>& changes, const std::vector<int64_t>& vocab_sizes);

}  // namespace recops::catalog
