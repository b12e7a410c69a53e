#include "core/lag.hpp"

#include <algorithm>
#include <cstddef>

namespace backfill {

void LagClock::note(std::int64_t position, std::int64_t now) {
  if (!notes_.empty() && notes_.back().position >= position) return;
  if (!notes_.empty() && now - notes_.back().at < spacing_) {
    notes_.back().position = position;
    return;
  }
  notes_.push_back({position, now});
  if (notes_.size() > kept) thin();
}

// Of two notes the time of the older and the position of the newer are kept.
void LagClock::thin() {
  std::vector<Note> thinned;
  for (std::size_t i = 0; i < notes_.size(); i += 2)
    thinned.push_back({notes_[std::min(i + 1, notes_.size() - 1)].position, notes_[i].at});
  spacing_ = (notes_.back().at - notes_.front().at) / static_cast<std::int64_t>(kept / 2);
  notes_.swap(thinned);
}

std::int64_t LagClock::lag(std::int64_t replayed, std::int64_t now) const {
  for (const Note &note : notes_)
    if (note.position > replayed) return now > note.at ? now - note.at : 0;
  return 0;
}

void LagClock::forget(std::int64_t replayed) {
  notes_.erase(notes_.begin(),
               std::find_if(notes_.begin(), notes_.end(), [&](const Note &note) { return note.position > replayed; }));
  if (notes_.size() < kept / 4) spacing_ = 0;
}

}  // namespace backfill
