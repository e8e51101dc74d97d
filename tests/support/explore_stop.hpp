// std::stop_source, stop_token and stop_callback for worlds of the model checker. One callback a source is enough here.
#pragma once

#include <utility>

#include "support/explore.hpp"

namespace explore {

class stop_source {
 public:
  class token {
   public:
    token() = default;
    explicit token(stop_source& s) : source_(&s) {}
    [[nodiscard]] bool stop_possible() const { return source_ != nullptr; }
    [[nodiscard]] bool stop_requested() const {
      return source_ != nullptr && source_->requested_.load(std::memory_order_acquire);
    }

    template <class F>
    class callback_type {
     public:
      callback_type(const token& t, F f) : source_(t.source_), f_(std::move(f)) {
        source_->lock_.lock();
        const bool at_once = source_->requested_.load(std::memory_order_relaxed);
        if (!at_once) {
          source_->run_ = [](void* me) { static_cast<callback_type*>(me)->f_(); };
          source_->callback_ = this;
        }
        source_->lock_.unlock();
        if (at_once) f_();
      }
      callback_type(const callback_type&) = delete;
      callback_type& operator=(const callback_type&) = delete;
      ~callback_type() {
        source_->lock_.lock();
        const bool started = source_->callback_ != this;
        source_->callback_ = nullptr;
        source_->lock_.unlock();
        // One that is running elsewhere is waited for; one inside which we are is not.
        if (started && source_->runner_ != sync::this_thread()) {
          while (source_->runner_ != 0 && source_->done_.load(std::memory_order_acquire) == 0) {
            sync::park(source_->done_, 0);
          }
        }
      }

     private:
      stop_source* source_;
      F f_;
    };

   private:
    stop_source* source_ = nullptr;
  };

  [[nodiscard]] token get_token() { return token(*this); }

  void request_stop() {
    lock_.lock();
    requested_.store(true, std::memory_order_release);
    void* const callback = std::exchange(callback_, nullptr);
    if (callback != nullptr) runner_ = sync::this_thread();
    lock_.unlock();
    if (callback == nullptr) return;
    run_(callback);
    done_.store(1, std::memory_order_release);
    sync::unpark(done_);
  }

 private:
  mutex lock_;
  atomic<bool> requested_{false};
  atomic<std::uint32_t> done_{0};
  std::uintptr_t runner_ = 0;     // \ guarded by lock_
  void* callback_ = nullptr;      // |
  void (*run_)(void*) = nullptr;  // /
};

}  // namespace explore
