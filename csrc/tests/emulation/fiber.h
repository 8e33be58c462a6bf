// Fibers: functions that each have a stack and run on one operating system thread until they pause.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace recops::emulation {

// A saved point of execution. `swap` saves the current point and continues at another one.
#if defined(__x86_64__)

// Only callee-saved registers need saving, because a swap is a function call. ucontext would also save the signal mask,
// with a system call for each swap.
extern "C" void recops_swap_stacks(void** from, void* to);
asm(R"(
.pushsection .text
.weak recops_swap_stacks
.type recops_swap_stacks, @function
recops_swap_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size recops_swap_stacks, . - recops_swap_stacks
.popsection
)");

class Context {
 public:
  void swap(const Context& to) { recops_swap_stacks(&top_, to.top_); }

  // The next swap to this context calls `entry`, which must not return.
  void start(char* stack, size_t size, void (*entry)()) {
    constexpr int kSavedRegisters = 6;
    auto* top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(stack) + size) & ~uintptr_t{15});
    *--top = nullptr;  // return address of `entry`; stacks are aligned to 16 bytes before a call
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
    top_ = top;
  }

 private:
  void* top_ = nullptr;
};

#else

class Context {
 public:
  void swap(const Context& to) { swapcontext(&context_, &to.context_); }

  void start(char* stack, size_t size, void (*entry)()) {
    getcontext(&context_);
    context_.uc_stack.ss_sp = stack;
    context_.uc_stack.ss_size = size;
    context_.uc_link = nullptr;
    makecontext(&context_, entry, 0);
  }

 private:
  ucontext_t context_;
};

#endif

// The owner calls start(), then resume() until is_done(); the function calls pause(). resume() throws the function's
// exceptions. A fiber that is done can start again.
class Fiber {
 public:
  explicit Fiber(size_t stack_bytes = 64 << 10) : stack_(new char[stack_bytes]), stack_bytes_(stack_bytes) {
    context_.start(stack_.get(), stack_bytes_, &run);
  }
  Fiber(const Fiber&) = delete;

  void start(std::function<void()> function) {
    function_ = std::move(function);
    error_ = nullptr;
    is_done_ = false;
  }

  void resume() {
    running = this;
#if defined(__SANITIZE_ADDRESS__)
    void* fake_stack;
    __sanitizer_start_switch_fiber(&fake_stack, stack_.get(), stack_bytes_);
#endif
    owner_.swap(context_);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
    if (error_) std::rethrow_exception(error_);
  }

  static void pause() { running->leave(); }

  bool is_done() const { return is_done_; }

 private:
  static void run() {
    Fiber& fiber = *running;
    fiber.arrived(nullptr);
    while (true) {
      try {
        fiber.function_();
      } catch (...) {
        fiber.error_ = std::current_exception();
      }
      fiber.is_done_ = true;
      fiber.leave();
    }
  }

  void leave() {
    [[maybe_unused]] void* fake_stack = nullptr;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&fake_stack, owner_stack_, owner_stack_bytes_);
#endif
    context_.swap(owner_);
    arrived(fake_stack);
  }

  void arrived([[maybe_unused]] void* fake_stack) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fake_stack, &owner_stack_, &owner_stack_bytes_);
#endif
  }

  inline static Fiber* running = nullptr;

  std::unique_ptr<char[]> stack_;
  size_t stack_bytes_;
  Context context_, owner_;
  [[maybe_unused]] const void* owner_stack_ = nullptr;
  [[maybe_unused]] size_t owner_stack_bytes_ = 0;
  std::function<void()> function_;
  std::exception_ptr error_;
  bool is_done_ = true;
};

}  // namespace recops::emulation
