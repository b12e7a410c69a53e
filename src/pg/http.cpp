// libcurl says which sockets to watch and when it wants to be called at the latest (the two callbacks of its multi
// interface); a WaitEventSet watches them together with the latch; whatever happens goes to curl_multi_socket_action.
//
// Threads.  The server is made for processes of one thread, and we start none; but Debian's libcurl looks names up in a
// thread of its own, which runs getaddrinfo and nothing else: nothing of the server's is called there.  What could go wrong
// is a signal: the kernel gives one sent to the process to any thread that does not block it, and the server's handlers (of
// timeouts above all) count on interrupting the main thread.  A thread begins with the signal mask of the one that made
// it.  So every call that may make one is made with all signals blocked: the thread never takes any, and the main thread has its
// own mask back microseconds later, since these calls do not wait.  libcurl itself uses no signal (CURLOPT_NOSIGNAL), and
// does not wait for a lookup that is given up (CURLOPT_QUICK_EXIT, where it has that).
//
// File descriptors.  A transfer is counted with the server for as many as it may have open: two sockets while it tries the
// addresses of both families, and the pair by which the lookup reports.
#include "pg/http.hpp"

#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <memory>

#include "pg/guard.hpp"
#include "pg/worker.hpp"

extern "C" {
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/wait_event.h"
}

namespace backfill::pg {

constexpr int most_sockets = 64;

// What libcurl wants watched.  Plain data: it is read within pg::call and written by C callbacks.
struct Poster::Wire {
  CURLM *multi;
  struct Watch {
    curl_socket_t socket;
    int what;  // CURL_POLL_IN, _OUT, _INOUT
  } watches[most_sockets];
  int count;
  std::int64_t due;  // when libcurl wants to be called without any event; -1: need not be
};

// One request.
struct Poster::Transfer {
  CURL *easy;
  curl_slist *headers;
  std::size_t received;
};

namespace {

constexpr int files_of_a_transfer = 4;
constexpr long connect_limit = 5000, request_limit = 10000;  // ms
constexpr std::size_t answer_limit = 64 * 1024;              // bytes read of it

Error no_room(const char *what) {
  return Error(sqlstate::insufficient_resources, std::string("no message can be posted: ") + what, {},
               "It is tried again later.");
}

template <typename Fn>
auto with_signals_blocked(Fn fn) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  auto const result = fn();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return result;
}

extern "C" {
static int watch_socket(CURL *, curl_socket_t socket, int what, void *data, void *) {
  auto *const wire = static_cast<Poster::Wire *>(data);
  auto *const end = wire->watches + wire->count;
  auto *const found = std::find_if(wire->watches, end, [&](const auto &watch) { return watch.socket == socket; });
  if (what == CURL_POLL_REMOVE) {
    if (found != end) *found = wire->watches[--wire->count];
  } else if (found != end) {
    found->what = what;
  } else if (wire->count < most_sockets) {
    wire->watches[wire->count++] = {socket, what};
  }
  return 0;
}

static int set_timer(CURLM *, long milliseconds, void *data) {
  static_cast<Poster::Wire *>(data)->due = milliseconds < 0 ? -1 : now_ms() + milliseconds;
  return 0;
}

// What is answered does not matter; a server that goes on and on is hung up on.
static std::size_t drop_answer(char *, std::size_t size, std::size_t count, void *data) {
  auto *const transfer = static_cast<Poster::Transfer *>(data);
  transfer->received += size * count;
  return transfer->received > answer_limit ? 0 : size * count;
}
}

void set_protocols(CURL *easy) {
#if LIBCURL_VERSION_NUM >= 0x075500
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
}

void set_options(CURL *easy) {
  set_protocols(easy);
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  curl_easy_setopt(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_limit);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, request_limit);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
#endif
}

bool reserve_files() {
  for (int i = 0; i < files_of_a_transfer; i++) {
    if (call([] { return AcquireExternalFD(); })) continue;
    while (i-- > 0) ReleaseExternalFD();
    return false;
  }
  return true;
}

WaitEventSet *create_event_set(int size) {
#if PG_VERSION_NUM >= 170000
  return CreateWaitEventSet(nullptr, size);
#else
  return CreateWaitEventSet(CurrentMemoryContext, size);
#endif
}

uint32 events_of(int what) {
  return (what & CURL_POLL_IN ? static_cast<uint32>(WL_SOCKET_READABLE) : 0) |
         (what & CURL_POLL_OUT ? static_cast<uint32>(WL_SOCKET_WRITEABLE) : 0);
}

constexpr int most_events = 2 + most_sockets;  // the latch and the postmaster's death

// Waits for the latch or any of the sockets; returns how many events there were.
int wait_for_events(const Poster::Wire &wire, long milliseconds, WaitEvent *events) {
  return call([&] {
    WaitEventSet *const set = create_event_set(most_events);
    AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, nullptr);
    AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, nullptr, nullptr);
    for (int i = 0; i < wire.count; i++)
      AddWaitEventToSet(set, events_of(wire.watches[i].what), wire.watches[i].socket, nullptr, nullptr);
    int const count = WaitEventSetWait(set, milliseconds, events, most_events, PG_WAIT_EXTENSION);
    FreeWaitEventSet(set);
    return count;
  });
}

void tell_curl(const Poster::Wire &wire, curl_socket_t socket, int what) {
  int running = 0;
  with_signals_blocked([&] { return curl_multi_socket_action(wire.multi, socket, what, &running); });
}

}  // namespace

Poster::Poster() {
  if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK) throw no_room("libcurl cannot be initialised");
  wire_ = std::make_unique<Wire>().release();
  wire_->multi = curl_multi_init();
  wire_->count = 0;
  wire_->due = -1;
  if (wire_->multi == nullptr) throw no_room("libcurl cannot be initialised");
  curl_multi_setopt(wire_->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
  curl_multi_setopt(wire_->multi, CURLMOPT_SOCKETDATA, wire_);
  curl_multi_setopt(wire_->multi, CURLMOPT_TIMERFUNCTION, set_timer);
  curl_multi_setopt(wire_->multi, CURLMOPT_TIMERDATA, wire_);
  curl_multi_setopt(wire_->multi, CURLMOPT_MAXCONNECTS, 0L);
}

void Poster::begin(const Post &post) {
  if (!reserve_files()) throw no_room("too many files are open");
  CURL *const easy = curl_easy_init();
  if (easy == nullptr) throw no_room("out of memory");
  auto *const transfer = std::make_unique<Transfer>(Transfer{easy, nullptr, 0}).release();
  set_options(easy);
  curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
  for (const std::string &header : post.headers)
    transfer->headers = curl_slist_append(transfer->headers, header.c_str());
  transfer->headers = curl_slist_append(transfer->headers, "Expect:");
  curl_easy_setopt(easy, CURLOPT_URL, post.url.c_str());
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(post.body.size()));
  curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, post.body.c_str());
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop_answer);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
  curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
  transfers_[transfer] = post.id;
  with_signals_blocked([&] { return curl_multi_add_handle(wire_->multi, easy); });
}

std::vector<Answer> Poster::wait(long milliseconds) {
  long limit = milliseconds;
  if (wire_->due >= 0) limit = static_cast<long>(std::clamp<std::int64_t>(wire_->due - now_ms(), 0, milliseconds));
  WaitEvent events[most_events];
  int const count = wait_for_events(*wire_, limit, events);
  for (int i = 0; i < count; i++) {
    const WaitEvent &event = events[i];
    if (event.events & WL_LATCH_SET) {
      wait_latch(0);
      continue;
    }
    int const what = (event.events & WL_SOCKET_READABLE ? CURL_CSELECT_IN : 0) |
                     (event.events & WL_SOCKET_WRITEABLE ? CURL_CSELECT_OUT : 0);
    tell_curl(*wire_, event.fd, what);
  }
  if (wire_->due >= 0 && now_ms() >= wire_->due) {
    wire_->due = -1;
    tell_curl(*wire_, CURL_SOCKET_TIMEOUT, 0);
  }
  return take_ended();
}

std::vector<Answer> Poster::take_ended() {
  std::vector<Answer> answers;
  int left = 0;
  while (const CURLMsg *const message = curl_multi_info_read(wire_->multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    CURL *const easy = message->easy_handle;
    CURLcode const code = message->data.result;
    Transfer *transfer = nullptr;
    long status = 0;
    curl_off_t retry_after = 0;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after);
    answers.push_back({transfers_[transfer], static_cast<int>(status), status != 0 ? "" : curl_easy_strerror(code),
                       static_cast<std::int64_t>(retry_after)});
    with_signals_blocked([&] { return curl_multi_remove_handle(wire_->multi, easy); });
    transfers_.erase(transfer);
    curl_slist_free_all(transfer->headers);
    curl_easy_cleanup(easy);
    std::unique_ptr<Transfer> const gone(transfer);
    for (int i = 0; i < files_of_a_transfer; i++) ReleaseExternalFD();
  }
  return answers;
}

}  // namespace backfill::pg
