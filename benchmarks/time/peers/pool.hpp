// Timers for the libraries that leave it to their user where a timer lives: never moved, used again.
#pragma once

#include <deque>
#include <vector>

namespace peers {

template <class T>
class pool {
 public:
  template <class Make>
  T* take(Make make) {
    if (free_.empty()) return &make(all_);
    T* const one = free_.back();
    free_.pop_back();
    return one;
  }
  void give_back(T* one) { free_.push_back(one); }

 private:
  std::deque<T> all_;
  std::vector<T*> free_;
};

/// For threads that have one each: on lines of its own.
template <class T>
class alignas(128) pool_of_caller : public pool<T> {};

}  // namespace peers
