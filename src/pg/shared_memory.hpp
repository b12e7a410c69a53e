// A small piece of memory that several processes of the server share for as long as one of them has it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace backfill::pg {

struct SharedMemory {
  std::uint32_t handle = 0;  // by which others attach
  void *address = nullptr;   // the same memory at another address in each process
};

// Zeroed, kept until the process ends.  on_leaving(address) runs when this process lets go of it, its end included.
// Raises class 53 when the server has none left.
SharedMemory make_shared_memory(std::size_t bytes, void (*on_leaving)(void *address));

// nullptr when it is gone.  At most once a process and handle.
void *attach_shared_memory(std::uint32_t handle);

}  // namespace backfill::pg
