// One block of an emulated kernel: its threads are fibers that run one after another, from barrier to barrier.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include "tests/emulation/error.h"
#include "tests/emulation/fiber.h"
#include "tests/emulation/shared.h"

namespace recops::emulation {

struct Index3 {
  unsigned x = 0, y = 0, z = 0;
};

struct Size3 {
  unsigned x = 1, y = 1, z = 1;
  Size3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  uint64_t count() const { return uint64_t{x} * y * z; }
};

// Order in which the threads of a block run. A kernel without races gives the same bits in every order.
struct Order {
  enum Kind { ascending, descending, random } kind = ascending;
  uint32_t seed = 0;

  static constexpr int kCount = 5;
  static Order number(int i) {
    return i == 0 ? Order{ascending} : i == 1 ? Order{descending} : Order{random, static_cast<uint32_t>(i)};
  }
};

constexpr int kWarp = 32;
constexpr uint32_t kAllLanes = 0xffffffff;
using LaneValues = std::array<uint64_t, kWarp>;

class Block {
 public:
  Block(int threads, size_t dynamic_shared_bytes, Order order)
      : shared(dynamic_shared_bytes),
        order_(order),
        random_(order.seed),
        threads_(threads),
        warps_((threads + kWarp - 1) / kWarp) {
    for (auto& thread : threads_) thread.fiber = std::make_unique<Fiber>();
  }

  // Calls function(thread) in every thread. `enter(thread)` runs before each stretch of a thread.
  void run(const std::function<void(int)>& function, const std::function<void(int)>& enter) {
    shared.poison();
    barrier_ = {};
    votes_ = 0;
    alive_ = static_cast<int>(threads_.size());
    for (Warp& warp : warps_) warp.alive = 0;
    for (int t = 0; t < static_cast<int>(threads_.size()); ++t) {
      threads_[t].waits_at = nullptr;
      warps_[t / kWarp].alive |= 1u << (t % kWarp);
      threads_[t].fiber->start([&function, t] { function(t); });
    }
    std::vector<int> turns(threads_.size());
    std::iota(turns.begin(), turns.end(), 0);
    if (order_.kind == Order::descending) std::reverse(turns.begin(), turns.end());
    while (alive_ > 0) {
      if (order_.kind == Order::random) std::shuffle(turns.begin(), turns.end(), random_);
      bool has_run = false;
      for (int t : turns) {
        if (threads_[t].fiber->is_done() || threads_[t].waits_at != nullptr) continue;
        has_run = true;
        current_ = t;
        enter(t);
        threads_[t].fiber->resume();
        if (threads_[t].fiber->is_done()) thread_left();
      }
      if (!has_run) throw KernelError(deadlock());
    }
  }

  // Waits until all threads that have not ended are at this barrier. Returns the sum of their votes.
  int64_t wait(int64_t vote, const std::source_location& site) {
    require(barrier_.arrived == 0 || barrier_.line == site.line(),
            "threads of a block wait at different barriers: lines ", barrier_.line, " and ", site.line());
    barrier_.line = site.line();
    votes_ += vote;
    ++barrier_.arrived;
    if (barrier_.arrived == alive_)
      release_block();
    else
      pause_at(barrier_);
    return counted_votes_;
  }

  // Waits until all lanes of the mask are here. Returns the values of those lanes, until the next call of this lane.
  const LaneValues& exchange(uint32_t mask, uint64_t value, const std::source_location& site) {
    Warp& warp = warps_[current_ / kWarp];
    require((mask >> lane() & 1) != 0, "line ", site.line(), ": the mask of a warp operation lacks the calling lane");
    require((mask & ~warp.alive) == 0, "line ", site.line(),
            ": the mask of a warp operation has a lane that has ended");
    WarpBarrier& barrier = mask == kAllLanes ? warp.full : warp.parts[mask];
    require(barrier.arrived == 0 || barrier.line == site.line(), "lanes of a warp wait at different operations: lines ",
            barrier.line, " and ", site.line());
    barrier.line = site.line();
    barrier.given[lane()] = value;
    ++barrier.arrived;
    if (barrier.arrived == std::popcount(mask)) {
      barrier.received = barrier.given;
      const int first = current_ / kWarp * kWarp;
      release(barrier, first, std::min<int>(first + kWarp, threads_.size()));
    } else {
      pause_at(barrier);
    }
    return barrier.received;
  }

  int lane() const { return current_ % kWarp; }

  SharedMemory shared;

 private:
  struct Barrier {
    int arrived = 0;
    unsigned line = 0;
  };

  // `given` becomes `received` when all lanes are here, so that a fast lane's next value does not disturb the others.
  struct WarpBarrier : Barrier {
    LaneValues given, received;
  };

  struct Warp {
    uint32_t alive;
    WarpBarrier full;
    std::map<uint32_t, WarpBarrier> parts;  // by mask
  };

  struct Thread {
    std::unique_ptr<Fiber> fiber;
    const Barrier* waits_at = nullptr;
  };

  void pause_at(const Barrier& barrier) {
    threads_[current_].waits_at = &barrier;
    Fiber::pause();
  }

  void release(Barrier& barrier, int begin, int end) {
    for (int t = begin; t < end; ++t)
      if (threads_[t].waits_at == &barrier) threads_[t].waits_at = nullptr;
    barrier.arrived = 0;
  }

  void release_block() {
    counted_votes_ = std::exchange(votes_, 0);
    release(barrier_, 0, static_cast<int>(threads_.size()));
  }

  // A thread that has ended counts at no later barrier.
  void thread_left() {
    --alive_;
    warps_[current_ / kWarp].alive &= ~(1u << lane());
    if (alive_ > 0 && barrier_.arrived == alive_) release_block();
  }

  std::string deadlock() const {
    std::ostringstream out;
    out << "deadlock:";
    for (size_t t = 0; t < threads_.size(); ++t)
      if (threads_[t].waits_at != nullptr && (t == 0 || threads_[t].waits_at != threads_[t - 1].waits_at))
        out << " thread " << t << " waits at line " << threads_[t].waits_at->line << ";";
    return out.str();
  }

  Order order_;
  std::mt19937 random_;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  Barrier barrier_;
  int64_t votes_ = 0, counted_votes_ = 0;
  int alive_ = 0, current_ = 0;
};

// The block that is running.
inline Block* block = nullptr;

}  // namespace recops::emulation
