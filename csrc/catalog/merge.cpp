// Inserted and moved items form a trie `added_`, which is merged into the base trie level by level. Items count as one
// more level below the leaves. A node of added_ either joins a base node or is fresh and precedes a base node (at_). A
// base node is removed with its last item, unless a node joins it. Whole runs of nodes between such positions are
// copied; only their child numbers shift, by one amount per run.
#include "catalog/merge.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "catalog/renumbering.h"
#include "catalog/splice.h"
#include "trie/build.h"

namespace recops::catalog {
namespace {

template <class Token>
class Merge {
 public:
  Merge(const Tables& base, const std::vector<Change>& changes, const std::vector<int64_t>& vocab_sizes)
      : base_(base),
        changes_(changes),
        depth_(base.depth),
        new_rows_(base.num_items()),
        dead_(depth_ + 2),
        thinned_(depth_ + 2),
        moved_(base.num_items()) {
    find_items();
    number_rows();
    build_added(vocab_sizes);
    locate_added();
    find_dead();
  }

  Tables write() {
    out_ = make_tables(new_starts(), base_.wide_tokens);
    for (int64_t level = 0; level <= depth_; ++level) write_level(level);
    write_items();
    write_id_order();
    return std::move(out_);
  }

 private:
  struct Arrival {
    int64_t row;  // row in the base; at least base.num_items() for a new item
    int32_t change;
  };

  // Collects the base items to remove (all changed ones; a moved item is inserted again), and the arriving items with
  // their positions among the ids.
  void find_items() {
    const auto id_at = [&](int64_t k) { return base_.item_ids[base_.id_order[k]]; };
    int64_t index = 0;
    for (size_t i = 0; i < changes_.size(); ++i) {
      const Change& change = changes_[i];
      index = gallop(index, base_.num_items(), [&](int64_t k) { return id_at(k) < change.id; });
      int64_t row = base_.num_items() + change.order;
      if (index < base_.num_items() && id_at(index) == change.id) {
        const int32_t position = base_.id_order[index];
        dead_[depth_ + 1].push_back(static_cast<int32_t>(base_.num_nodes() + position));
        dead_ids_.push_back(static_cast<int32_t>(index));
        if (change.sid != nullptr && change.order < 0)
          row = base_.item_rows[position];
        else
          removed_rows_.push_back(base_.item_rows[position]);
      }
      if (change.sid == nullptr) continue;
      arrivals_.push_back({row, static_cast<int32_t>(i)});
      arriving_.push_back(static_cast<int32_t>(i));
      id_positions_.push_back(static_cast<int32_t>(index));
    }
    std::sort(dead_[depth_ + 1].begin(), dead_[depth_ + 1].end());
    std::sort(removed_rows_.begin(), removed_rows_.end());
    const auto by_row = [](const Arrival& a, const Arrival& b) { return a.row < b.row; };
    if (!std::is_sorted(arrivals_.begin(), arrivals_.end(), by_row))
      std::sort(arrivals_.begin(), arrivals_.end(), by_row);
  }

  // Renumbers rows without gaps after removals.
  void number_rows() {
    if (removed_rows_.empty()) return;
    int64_t row = 0;
    for (size_t passed = 0; passed < removed_rows_.size(); ++passed) {
      new_rows_.shift(row, removed_rows_[passed], -static_cast<int64_t>(passed));
      row = removed_rows_[passed] + 1;
    }
    new_rows_.shift(row, base_.num_items(), -static_cast<int64_t>(removed_rows_.size()));
  }

  void build_added(const std::vector<int64_t>& vocab_sizes) {
    const auto count = static_cast<int64_t>(arrivals_.size());
    Array<int32_t> sids(count * depth_);
    for (int64_t i = 0; i < count; ++i) std::copy_n(changes_[arrivals_[i].change].sid, depth_, &sids[i * depth_]);
    const trie::Builder builder(sids.data(), count, vocab_sizes);
    added_.first_child = Array<int32_t>(builder.num_nodes() + 1);
    added_.tokens = Array<unsigned char>(builder.num_nodes() * int64_t{sizeof(Token)});
    added_.item_rows = Array<int32_t>(count);
    builder.fill(added_.first_child.data(), added_.tokens_as<Token>(), added_.item_rows.data());
    added_.starts = starts_of(added_.first_child.data(), depth_);
  }

  void locate_added() {
    at_ = Array<int32_t>(added_.starts.back());
    fresh_ = Array<uint8_t>(added_.starts.back());
    at_[0] = 0;
    fresh_[0] = 0;
    const int64_t nodes = added_.starts[depth_ + 1], leaves = added_.starts[depth_];
    const Token *ours = base_.tokens_as<Token>(), *theirs = added_.tokens_as<Token>();
    for (int64_t node = 0; node < nodes; ++node) {
      int64_t position = base_.first_child[at_[node]];
      const int64_t end = fresh_[node] != 0 ? position : base_.first_child[at_[node] + 1];
      for (int64_t child = added_.first_child[node]; child < added_.first_child[node + 1]; ++child) {
        if (node < leaves) {
          position = gallop(position, end, [&](int64_t p) { return ours[p] < theirs[child]; });
          fresh_[child] = position == end || ours[position] != theirs[child];
        } else {
          const int64_t row = arrivals_[added_.item_rows[child - nodes]].row;
          position = gallop(position, end, [&](int64_t p) { return base_.item_rows[p - base_.num_nodes()] < row; });
          fresh_[child] = 1;
        }
        at_[child] = static_cast<int32_t>(position);
      }
    }
  }

  // From the items up: finds nodes that lose children, and nodes that lose all of them.
  void find_dead() {
    for (int64_t level = depth_; level >= 0; --level) {
      int64_t node = base_.starts[level], joining = added_.starts[level];
      const std::vector<int32_t>& children = dead_[level + 1];
      for (size_t i = 0; i < children.size();) {
        node =
            gallop(node + 1, base_.starts[level + 1], [&](int64_t n) { return base_.first_child[n] <= children[i]; }) -
            1;
        const size_t first = i;
        while (i < children.size() && children[i] < base_.first_child[node + 1]) ++i;
        const auto lost = static_cast<int32_t>(i - first);
        joining = gallop(joining, added_.starts[level + 1], [&](int64_t added) {
          return at_[added] < node || (at_[added] == node && fresh_[added] != 0);
        });
        const bool is_joined = joining < added_.starts[level + 1] && at_[joining] == node;
        if (level > 0 && !is_joined && lost == base_.first_child[node + 1] - base_.first_child[node])
          dead_[level].push_back(static_cast<int32_t>(node));
        else
          thinned_[level].push_back({static_cast<int32_t>(node), lost});
      }
    }
  }

  std::vector<int64_t> new_starts() const {
    std::vector<int64_t> starts{0};
    for (int64_t level = 0; level <= depth_ + 1; ++level) {
      const int64_t lost = static_cast<int64_t>(dead_[level].size());
      int64_t size = base_.starts[level + 1] - base_.starts[level] - lost;
      for (int64_t node = added_.starts[level]; node < added_.starts[level + 1]; ++node) size += fresh_[node];
      starts.push_back(starts.back() + size);
    }
    if (starts.back() > INT32_MAX) throw std::invalid_argument("SidCatalog: nodes and items together pass 2^31 − 1");
    return starts;
  }

  Edits edits(int64_t level) const {
    return {base_.starts[level], base_.starts[level + 1], added_.starts[level], added_.starts[level + 1],
            at_.data(),          fresh_.data(),           dead_[level],         thinned_[level]};
  }

  void write_level(int64_t level) {
    int64_t node = out_.starts[level], child = out_.starts[level + 1];
    const int32_t *ours = base_.first_child.data(), *theirs = added_.first_child.data();
    int32_t* first_child = out_.first_child.data();
    Token* tokens = out_.tokens_as<Token>();
    const auto write = [&](Token token, int64_t children) {
      tokens[node] = token;
      first_child[node++] = static_cast<int32_t>(child);
      child += children;
    };
    splice(
        edits(level),
        [&](int64_t begin, int64_t end) {
          std::copy(base_.tokens_as<Token>() + begin, base_.tokens_as<Token>() + end, tokens + node);
          const auto shift = static_cast<int32_t>(child - ours[begin]);
          for (int64_t i = 0; i < end - begin; ++i) first_child[node + i] = ours[begin + i] + shift;
          node += end - begin;
          child = ours[end] + shift;
        },
        [&](int64_t added) { write(added_.tokens_as<Token>()[added], theirs[added + 1] - theirs[added]); },
        [&](int64_t base_node, int64_t added, int32_t lost) {
          int64_t children = ours[base_node + 1] - ours[base_node] - lost;
          for (int64_t c = added < 0 ? 0 : theirs[added], last = added < 0 ? 0 : theirs[added + 1]; c < last; ++c)
            children += fresh_[c];
          write(base_.tokens_as<Token>()[base_node], children);
        });
  }

  void write_items() {
    const int64_t newcomers = base_.num_items() - static_cast<int64_t>(removed_rows_.size());
    int64_t num_moved = 0;
    while (num_moved < static_cast<int64_t>(arrivals_.size()) && arrivals_[num_moved].row < base_.num_items())
      ++num_moved;
    result_positions_ = Array<int32_t>(static_cast<int64_t>(changes_.size()));
    const int64_t first = base_.num_nodes();
    int64_t position = 0;
    splice(
        edits(depth_ + 1),
        [&](int64_t begin, int64_t end) {
          const int64_t old = begin - first, count = end - begin;
          std::copy_n(&base_.item_ids[old], count, &out_.item_ids[position]);
          moved_.shift(old, old + count, position - old);
          if (removed_rows_.empty())
            std::copy_n(&base_.item_rows[old], count, &out_.item_rows[position]);
          else
            for (int64_t i = 0; i < count; ++i) out_.item_rows[position + i] = new_rows_[base_.item_rows[old + i]];
          position += count;
        },
        [&](int64_t added) {
          const int32_t number = added_.item_rows[added - added_.starts[depth_ + 1]];
          const Arrival& arrival = arrivals_[number];
          out_.item_ids[position] = changes_[arrival.change].id;
          out_.item_rows[position] = number >= num_moved     ? static_cast<int32_t>(newcomers + number - num_moved)
                                     : removed_rows_.empty() ? static_cast<int32_t>(arrival.row)
                                                             : new_rows_[arrival.row];
          result_positions_[arrival.change] = static_cast<int32_t>(position++);
        },
        [](int64_t, int64_t, int32_t) {});
  }

  void write_id_order() {
    int32_t* next = out_.id_order.data();
    splice(
        {0, base_.num_items(), 0, static_cast<int64_t>(arriving_.size()), id_positions_.data(), nullptr, dead_ids_, {}},
        [&](int64_t begin, int64_t end) {
          for (int64_t k = begin; k < end; ++k) *next++ = moved_[base_.id_order[k]];
        },
        [&](int64_t k) { *next++ = result_positions_[arriving_[k]]; }, [](int64_t, int64_t, int32_t) {});
  }

  const Tables& base_;
  const std::vector<Change>& changes_;
  const int64_t depth_;
  std::vector<Arrival> arrivals_;  // ordered by row
  std::vector<int32_t> arriving_,
      id_positions_;  // ordered by id: index of the change, and position among the base's ids
  std::vector<int32_t> dead_ids_, removed_rows_;
  Renumbering new_rows_;  // new numbers of the base's rows
  Tables added_;
  Array<int32_t> at_;  // per node (then item) of added_
  Array<uint8_t> fresh_;
  std::vector<std::vector<int32_t>> dead_;  // per level: removed nodes of the base
  std::vector<std::vector<Thinned>> thinned_;
  Renumbering moved_;                // new positions of the base's items
  Array<int32_t> result_positions_;  // per change: position in the result
  Tables out_;
};

}  // namespace

Tables merge(const Tables& base, const std::vector<Change>& changes, const std::vector<int64_t>& vocab_sizes) {
  return base.wide_tokens ? Merge<int32_t>(base, changes, vocab_sizes).write()
                          : Merge<uint16_t>(base, changes, vocab_sizes).write();
}

}  // namespace recops::catalog
