// Posting to HTTP servers from a background worker: libcurl, driven on the process latch.
//
// Several requests are on their way at once; wait() is the only place that waits, and it wakes for the latch, so that
// SIGTERM, shutdown and the death of the postmaster end the process whatever a server does.  A request takes 10 s at the
// most, 5 s of them to connect.  Certificates are verified; redirects, proxies, cookies, .netrc and any protocol but http
// and https are not for us; what the server answers is thrown away.
//
// For workers of our own only: the library is initialised with the first Poster, and that is for the life of the process.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace backfill::pg {

struct Post {
  std::int64_t id = 0;  // the caller's
  std::string url;      // http or https
  std::string body;
  std::vector<std::string> headers;  // "Name: value"
};

// How a post ended.
struct Answer {
  std::int64_t id = 0;
  int status = 0;                // of HTTP; 0 when the server did not get as far
  std::string error;             // then: why, in libcurl's words, without the URL; "" where there is a status
  std::int64_t retry_after = 0;  // seconds the server asks to be left alone; 0: it did not
};

class Poster {
 public:
  Poster();  // 53000 where libcurl cannot be initialised

  void begin(const Post &post);  // 53000 where the process can have no more files
  std::size_t open() const { return transfers_.size(); }

  // Moves the open requests on until one has ended, the latch was set, or the time has passed.  Handles interrupts.
  // REQUIRES: no transaction open.
  std::vector<Answer> wait(long milliseconds);

  struct Transfer;
  struct Wire;

 private:
  std::vector<Answer> take_ended();

  Wire *wire_;  // both live as long as the process
  std::map<Transfer *, std::int64_t> transfers_;
};

}  // namespace backfill::pg
