// Batches made ahead of time by a background thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace fovea::data {

/// Where reading stands: what a checkpoint must hold to go on with the very next batch.
struct LoaderPosition {
  int64_t seed = 0;
  int64_t epoch = 0;
  int64_t batch = 0;  ///< index in the epoch of the batch that comes next
  bool operator==(const LoaderPosition&) const = default;
};

/// What a Loader reads from. All calls come from one thread at a time.
template <class Batch>
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  /// Lays out an epoch and returns its number of batches. Equal seed and epoch must give equal batches.
  virtual int64_t begin_epoch(uint64_t seed, int64_t epoch) = 0;
  /// The batch of this index, 0 to the number of batches - 1, of the epoch begun last.
  virtual Batch make(int64_t index) = 0;
};

/// The thread and the bounded queue behind Loader, free of the batch's type.
class Prefetcher {
 public:
  class Producer {
   public:
    virtual ~Producer() = default;
    virtual int64_t begin_epoch(uint64_t seed, int64_t epoch) = 0;
    virtual std::shared_ptr<void> make(int64_t index) = 0;
  };

  Prefetcher(std::unique_ptr<Producer> producer, const LoaderPosition& start, int64_t ahead);
  Prefetcher(Prefetcher&&) noexcept;
  ~Prefetcher();

  /// The next batch, or null at the end of an epoch.
  std::shared_ptr<void> next();
  LoaderPosition position() const { return position_; }
  void seek(const LoaderPosition& position);

 private:
  struct Shared;
  void start();
  void stop();

  std::unique_ptr<Producer> producer_;
  LoaderPosition position_;
  int64_t ahead_;
  std::unique_ptr<Shared> shared_;
};

/// Hands out the batches of a source, epoch after epoch, while a thread makes up to `ahead` of them in
/// advance.
///
///     while (auto batch = loader.next()) ...   // one epoch; the same loop again runs the next epoch
///
/// What the source throws comes out of next(), at the batch where it happened, and again on every further
/// call until seek(). A Loader is used by one thread at a time.
template <class Batch>
class Loader {
 public:
  /// Reads on from `start`. InvalidArgument when ahead < 1 or a part of `start` is negative (a seed may be).
  explicit Loader(std::unique_ptr<BatchSource<Batch>> source, const LoaderPosition& start = {},
                  int64_t ahead = 4)
      : prefetcher_(std::make_unique<Adapter>(std::move(source)), start, ahead) {}

  /// The next batch; nothing at the end of an epoch, after which the next epoch begins.
  std::optional<Batch> next() {
    const std::shared_ptr<void> item = prefetcher_.next();
    if (item == nullptr) return std::nullopt;
    return std::move(*static_cast<Batch*>(item.get()));
  }

  /// The position of the batch that next() would give; batches made in advance do not count.
  LoaderPosition position() const { return prefetcher_.position(); }

  /// Goes on from `position`; the batches that follow are those that followed when position() returned it. A
  /// batch index beyond the epoch's end is an InvalidArgument out of next().
  void seek(const LoaderPosition& position) { prefetcher_.seek(position); }

 private:
  struct Adapter final : Prefetcher::Producer {
    explicit Adapter(std::unique_ptr<BatchSource<Batch>> from) : source(std::move(from)) {}
    int64_t begin_epoch(uint64_t seed, int64_t epoch) override { return source->begin_epoch(seed, epoch); }
    std::shared_ptr<void> make(int64_t index) override {
      return std::make_shared<Batch>(source->make(index));
    }
    std::unique_ptr<BatchSource<Batch>> source;
  };

  Prefetcher prefetcher_;
};

}  // namespace fovea::data
