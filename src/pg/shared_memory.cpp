#include "pg/shared_memory.hpp"

#include "pg/guard.hpp"

extern "C" {
#include "storage/dsm.h"
}

namespace backfill::pg {

namespace {

void (*leaving)(void *) = nullptr;

void leave(dsm_segment *segment, ::Datum) {
  if (leaving != nullptr) leaving(dsm_segment_address(segment));
}

}  // namespace

SharedMemory make_shared_memory(std::size_t bytes, void (*on_leaving)(void *)) {
  leaving = on_leaving;
  return call([&] {
    dsm_segment *const segment = dsm_create(bytes, 0);
    dsm_pin_mapping(segment);
    MemSet(dsm_segment_address(segment), 0, bytes);
    on_dsm_detach(segment, leave, (::Datum)0);
    return SharedMemory{dsm_segment_handle(segment), dsm_segment_address(segment)};
  });
}

void *attach_shared_memory(std::uint32_t handle) {
  return call([&]() -> void * {
    dsm_segment *const segment = dsm_attach(handle);
    if (segment == nullptr) return nullptr;
    dsm_pin_mapping(segment);
    return dsm_segment_address(segment);
  });
}

}  // namespace backfill::pg
