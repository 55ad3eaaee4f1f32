#include "frontends/data/loader.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>

#include "framework/base/error.h"

namespace fovea::data {
namespace {

void check_position(const LoaderPosition& position) {
  if (position.epoch < 0 || position.batch < 0)
    invalid("a loader's position has epoch " + std::to_string(position.epoch) + " and batch " +
            std::to_string(position.batch) + ", neither may be negative");
}

}  // namespace

struct Prefetcher::Shared {
  // Waits for room; false when the loader is being stopped.
  bool push(std::shared_ptr<void> batch) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return stopping || static_cast<int64_t>(queue.size()) < room; });
    if (stopping) return false;
    queue.push_back(std::move(batch));
    changed.notify_all();
    return true;
  }

  void produce(Producer& producer, LoaderPosition at) {
    try {
      for (;; ++at.epoch, at.batch = 0) {
        const int64_t count = producer.begin_epoch(static_cast<uint64_t>(at.seed), at.epoch);
        if (at.batch > count)
          invalid("batch " + std::to_string(at.batch) + " lies beyond the " + std::to_string(count) +
                  " batches of epoch " + std::to_string(at.epoch) +
                  "; the data or its options are not those that the position was taken with");
        for (; at.batch < count; ++at.batch)
          if (!push(producer.make(at.batch))) return;
        if (!push(nullptr)) return;
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
      changed.notify_all();
    }
  }

  int64_t room;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::shared_ptr<void>> queue;  // null marks the end of an epoch
  std::exception_ptr failure;               // comes after what is in the queue
  bool stopping = false;
  std::thread thread;
};

Prefetcher::Prefetcher(std::unique_ptr<Producer> producer, const LoaderPosition& start, int64_t ahead)
    : producer_(std::move(producer)), position_(start), ahead_(ahead) {
  check_position(start);
  if (ahead < 1) invalid("a loader must make at least 1 batch ahead, asked for " + std::to_string(ahead));
}

Prefetcher::Prefetcher(Prefetcher&&) noexcept = default;

Prefetcher::~Prefetcher() { stop(); }

void Prefetcher::start() {
  auto shared = std::make_unique<Shared>();
  shared->room = ahead_;
  try {
    shared->thread = std::thread([state = shared.get(), producer = producer_.get(), at = position_] {
      state->produce(*producer, at);
    });
  } catch (const std::system_error& error) {
    fail(ErrorKind::ResourceExhausted, std::string("cannot start a loader's thread: ") + error.what());
  }
  shared_ = std::move(shared);
}

void Prefetcher::stop() {
  if (shared_ == nullptr) return;
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->stopping = true;
    shared_->changed.notify_all();
  }
  shared_->thread.join();
  shared_.reset();
}

std::shared_ptr<void> Prefetcher::next() {
  if (shared_ == nullptr) start();
  std::shared_ptr<void> batch;
  {
    std::unique_lock lock(shared_->mutex);
    shared_->changed.wait(lock, [&] { return !shared_->queue.empty() || shared_->failure; });
    if (shared_->queue.empty()) std::rethrow_exception(shared_->failure);
    batch = std::move(shared_->queue.front());
    shared_->queue.pop_front();
    shared_->changed.notify_all();
  }
  if (batch != nullptr)
    ++position_.batch;
  else
    ++position_.epoch, position_.batch = 0;
  return batch;
}

void Prefetcher::seek(const LoaderPosition& position) {
  check_position(position);
  stop();
  position_ = position;
}

}  // namespace fovea::data
