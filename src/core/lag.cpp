#include "core/lag.hpp"

#include <algorithm>

namespace backfill {

void LagClock::note(std::int64_t position, std::int64_t now) {
  if (!notes_.empty() && notes_.back().position >= position) return;
  notes_.push_back({position, now});
  if (notes_.size() <= kept) return;
  std::vector<Note> thinned;  // the older of each pair is kept, so that no lag is told too short
  for (std::size_t i = 0; i < notes_.size(); i += 2) thinned.push_back(notes_[i]);
  if (thinned.back().position != notes_.back().position) thinned.push_back(notes_.back());
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
}

}  // namespace backfill
