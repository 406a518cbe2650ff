// mockllm: a fast OpenAI-compatible upstream for measuring gateways.  HTTP/1.1, one thread, epoll.
//
//     gcc -O2 -o mockllm mockllm.c && ./mockllm PORT [CHUNKS] [INTERVAL_MS] [DELAY_MS]
//
// Any POST is a chat request: with "stream":true it is answered with server-sent events, else with one JSON object; at
// /v1/messages in Anthropic's words, anywhere else in OpenAI's.
// The model's name steers the answer, sim-cN-iMS-dMS-pBYTES-eSTATUS:
//
//     c  chunks    i  ms between chunks    d  ms before the first byte    p  padding per chunk, bytes    e  error status
//
// What the name leaves out, and every other model, follows the defaults: from the command line, or POST /set/c100-i20-d5.
// Each chunk's content begins "t=<CLOCK_MONOTONIC ns> ", so that a client on the same machine knows its transit time.
// GET /stats tells the counters, POST /reset zeroes them.  Any other GET lists the models, which also serves as health.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LITERAL(text) (text), sizeof(text) - 1
#define NOT_WAITING (-1)
#define PAD_MAX_BYTES 4000

typedef unsigned long long u64;

typedef struct {
    int chunks, interval_ms, delay_ms, pad_bytes, status;
} Behaviour;

typedef struct {
    int fd;
    int heap_index;  // place in the heap of waiting connections, or NOT_WAITING
    int streaming;   // a streamed answer is not at its end
    int is_message;  // asked for at /v1/messages, and answered in Anthropic's words
    int sent;        // chunks so far
    int wants_write; // EPOLLOUT is armed
    u64 due_ns;
    Behaviour behaviour;
    char *in, *out;
    int in_len, in_cap, out_len, out_done, out_cap;
} Connection;

static Behaviour defaults = {.chunks = 64, .interval_ms = 0, .delay_ms = 0, .pad_bytes = 8, .status = 200};
static struct {
    u64 requests, streams, done, cancelled, chunks, open, active, conns, last_cancel_ns;
} stats;
static int poller;

static u64 now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

// --- Waiting connections: a binary heap by due time, each knowing its place so that it can leave early ---

static Connection **heap;
static int heap_len, heap_cap;

static void heap_put(int index, Connection *c) {
    heap[index] = c;
    c->heap_index = index;
}

static void heap_rise(int index) {
    Connection *c = heap[index];
    while (index && heap[(index - 1) / 2]->due_ns > c->due_ns) {
        heap_put(index, heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    heap_put(index, c);
}

static void heap_sink(int index) {
    Connection *c = heap[index];
    for (;;) {
        int child = 2 * index + 1;
        if (child >= heap_len) break;
        if (child + 1 < heap_len && heap[child + 1]->due_ns < heap[child]->due_ns) child++;
        if (heap[child]->due_ns >= c->due_ns) break;
        heap_put(index, heap[child]);
        index = child;
    }
    heap_put(index, c);
}

static void wait_until(Connection *c, u64 due_ns) {
    c->due_ns = due_ns;
    if (heap_len == heap_cap) {
        heap_cap = heap_cap ? heap_cap * 2 : 256;
        heap = realloc(heap, heap_cap * sizeof *heap);
    }
    heap_put(heap_len, c);
    heap_rise(heap_len++);
}

static void wait_no_more(Connection *c) {
    int index = c->heap_index;
    if (index == NOT_WAITING) return;
    c->heap_index = NOT_WAITING;
    if (index == --heap_len) return;
    Connection *last = heap[heap_len];
    heap_put(index, last);
    heap_rise(index);
    heap_sink(last->heap_index);
}

// --- Output: appended to a buffer, sent once per wake-up ---

static char *room(Connection *c, int bytes) {
    if (c->out_len + bytes > c->out_cap) {
        c->out_cap = (c->out_len + bytes) * 2 + 4096;
        c->out = realloc(c->out, c->out_cap);
    }
    return c->out + c->out_len;
}

static void put(Connection *c, const char *bytes, int len) {
    memcpy(room(c, len), bytes, len);
    c->out_len += len;
}

static void put_number(Connection *c, u64 value, unsigned base) {
    char digits[24];
    int at = sizeof digits;
    do digits[--at] = "0123456789abcdef"[value % base];
    while (value /= base);
    put(c, digits + at, sizeof digits - at);
}

static void arm(Connection *c, int wants_write) {
    if (c->wants_write == wants_write) return;
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | (wants_write ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
    c->wants_write = wants_write;
}

// False when the peer is gone.
static int flush(Connection *c) {
    while (c->out_done < c->out_len) {
        int sent = send(c->fd, c->out + c->out_done, c->out_len - c->out_done, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) return 0;
            arm(c, 1);
            return 1;
        }
        c->out_done += sent;
    }
    c->out_len = c->out_done = 0;
    arm(c, 0);
    return 1;
}

// A leaving client whose answer was not finished counts as cancelled: that is what gateways are measured by.
static void drop(Connection *c) {
    if (c->streaming || c->heap_index != NOT_WAITING) {
        stats.cancelled++;
        stats.last_cancel_ns = now_ns();
    }
    if (c->streaming) stats.active--;
    wait_no_more(c);
    close(c->fd);
    stats.open--;
    free(c->in);
    free(c->out);
    free(c);
}

// --- Answers ---

#define EVENT_HEAD \
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"mock-model\",\"choices\":["
#define DELTA EVENT_HEAD "{\"index\":0,\"delta\":{\"content\":\"t="
#define FIRST_DELTA EVENT_HEAD "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"t="
#define DELTA_END "\"},\"finish_reason\":null}]}\n\n\r\n"

// The same in Anthropic's words, for whoever asks at /v1/messages.
#define MESSAGE_DELTA "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"t="
#define MESSAGE_DELTA_END "\"}}\n\n\r\n"
#define MESSAGE_START \
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\"," \
    "\"model\":\"mock-model\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n" \
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n" \
    "event: ping\ndata: {\"type\": \"ping\"}\n\n"

static void put_chunk_size(Connection *c, int bytes) {
    put_number(c, bytes, 16);
    put(c, LITERAL("\r\n"));
}

// One delta in an HTTP chunk of its own.  Written by hand: at full speed this is the upstream's whole cost.
static void put_delta(Connection *c) {
    static char padding[PAD_MAX_BYTES];
    if (!padding[0]) memset(padding, 'x', sizeof padding);
    const char *head = c->is_message ? MESSAGE_DELTA : c->sent ? DELTA : FIRST_DELTA;
    const char *tail = c->is_message ? MESSAGE_DELTA_END : DELTA_END;
    int head_len = strlen(head), tail_len = strlen(tail);
    u64 stamp = now_ns();
    int stamp_len = 1;
    for (u64 rest = stamp; rest >= 10; rest /= 10) stamp_len++;
    put_chunk_size(c, head_len + stamp_len + 1 + c->behaviour.pad_bytes + tail_len - 2);
    put(c, head, head_len);
    put_number(c, stamp, 10);
    put(c, LITERAL(" "));
    put(c, padding, c->behaviour.pad_bytes);
    put(c, tail, tail_len);
    c->sent++;
    stats.chunks++;
}

static void put_chunk(Connection *c, const char *bytes, int len) {
    put_chunk_size(c, len);
    put(c, bytes, len);
    put(c, LITERAL("\r\n"));
}

static void put_message_end(Connection *c) {
    char end[1024];
    int len = snprintf(end, sizeof end,
                       "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
                       "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
                       "\"stop_sequence\":null},\"usage\":{\"output_tokens\":%d}}\n\n"
                       "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
                       c->behaviour.chunks);
    put_chunk(c, end, len);
}

static void put_chat_end(Connection *c) {
    char usage[1024];
    int len = snprintf(usage, sizeof usage,
                       EVENT_HEAD "],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n"
                                  "data: [DONE]\n\n",
                       c->behaviour.chunks, c->behaviour.chunks + 9);
    put_chunk(c, LITERAL(EVENT_HEAD "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"));
    put_chunk(c, usage, len);
}

static void put_stream_end(Connection *c) {
    if (c->is_message) put_message_end(c);
    else put_chat_end(c);
    put(c, LITERAL("0\r\n\r\n"));
    c->streaming = 0;
    stats.done++;
    stats.active--;
}

static void put_next_event(Connection *c) {
    if (c->sent < c->behaviour.chunks) put_delta(c);
    else put_stream_end(c);
}

static void put_json(Connection *c, int status, const char *extra_headers, const char *body, int body_len) {
    char head[256];
    int len = snprintf(head, sizeof head,
                       "HTTP/1.1 %d Mock\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n", status,
                       body_len, extra_headers);
    put(c, head, len);
    put(c, body, body_len);
}

static void put_completion(Connection *c) {
    char body[1024];
    int status = c->behaviour.status, len;
    if (status >= 400)
        len = snprintf(body, sizeof body,
                       "{\"error\":{\"message\":\"mock error %d\",\"type\":\"mock_error\",\"param\":null,\"code\":null}}",
                       status);
    else if (c->is_message)
        len = snprintf(body, sizeof body,
                       "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"mock-model\",\"content\":"
                       "[{\"type\":\"text\",\"text\":\"t=%llu Hello there, how may I assist you today? This is a canned "
                       "reply.\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,"
                       "\"usage\":{\"input_tokens\":9,\"output_tokens\":12}}",
                       now_ns());
    else
        len = snprintf(body, sizeof body,
                       "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"mock-model\","
                       "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"t=%llu Hello there, how "
                       "may I assist you today? This is a canned reply.\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],"
                       "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":12,\"total_tokens\":21}}",
                       now_ns());
    put_json(c, status, status == 429 ? "Retry-After: 1\r\n" : "", body, len);
}

static void put_stats(Connection *c) {
    char body[512];
    int len = snprintf(body, sizeof body,
                       "{\"requests\":%llu,\"streams\":%llu,\"done\":%llu,\"cancelled\":%llu,\"chunks\":%llu,\"open\":%llu,"
                       "\"active\":%llu,\"conns\":%llu,\"last_cancel_ns\":%llu,\"now_ns\":%llu}",
                       stats.requests, stats.streams, stats.done, stats.cancelled, stats.chunks, stats.open,
                       stats.active, stats.conns, stats.last_cancel_ns, now_ns());
    put_json(c, 200, "", body, len);
}

// --- Requests ---

// The number behind "-<letter>" between name and end, or the given default.
static int knob(const char *name, const char *end, char letter, int otherwise) {
    for (const char *p = name; p + 2 < end; p++)
        if ((*p == '-' || *p == '/') && p[1] == letter && p[2] >= '0' && p[2] <= '9') return atoi(p + 2);
    return otherwise;
}

static Behaviour behaviour_named(const char *name, const char *end) {
    Behaviour b = {
        .chunks = knob(name, end, 'c', defaults.chunks),
        .interval_ms = knob(name, end, 'i', defaults.interval_ms),
        .delay_ms = knob(name, end, 'd', defaults.delay_ms),
        .pad_bytes = knob(name, end, 'p', defaults.pad_bytes),
        .status = knob(name, end, 'e', defaults.status),
    };
    if (b.pad_bytes > PAD_MAX_BYTES) b.pad_bytes = PAD_MAX_BYTES;
    return b;
}

static void begin_chat(Connection *c, const char *body, int len) {
    const char *name = memmem(body, len, LITERAL("\"sim-"));
    const char *end = name ? memchr(name + 1, '"', body + len - name - 1) : NULL;
    c->behaviour = end ? behaviour_named(name, end) : defaults;
    int streamed = memmem(body, len, LITERAL("\"stream\":true")) || memmem(body, len, LITERAL("\"stream\": true"));
    if (streamed && c->behaviour.status < 400) {
        c->sent = 0;
        c->streaming = 1;
        stats.streams++;
        stats.active++;
        put(c, LITERAL("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n"));
        if (c->is_message) put_chunk(c, LITERAL(MESSAGE_START));
        if (c->behaviour.interval_ms || c->behaviour.delay_ms)
            wait_until(c, now_ns() + c->behaviour.delay_ms * 1000000ull);
        while (c->streaming && c->heap_index == NOT_WAITING) put_next_event(c);
    } else if (c->behaviour.delay_ms) {
        wait_until(c, now_ns() + c->behaviour.delay_ms * 1000000ull);
    } else {
        put_completion(c);
    }
}

static void answer(Connection *c, const char *head, int head_len, const char *body, int body_len) {
    static const char models[] = "{\"object\":\"list\",\"status\":\"ok\",\"data\":[{\"id\":\"mock-model\",\"object\":\"model\","
                                 "\"created\":1700000000,\"owned_by\":\"mock\"},{\"id\":\"mock-claude\",\"object\":\"model\","
                                 "\"created\":1700000000,\"owned_by\":\"mock\"}]}";
    const char *line_end = memchr(head, '\r', head_len);
    stats.requests++;
    if (!strncmp(head, "GET /stats", 10)) put_stats(c);
    else if (!strncmp(head, "GET ", 4)) put_json(c, 200, "", LITERAL(models));
    else if (!strncmp(head, "POST /set/", 10)) {
        defaults = behaviour_named(head + 9, line_end);
        put_json(c, 200, "", LITERAL("{}"));
    } else if (!strncmp(head, "POST /reset", 11)) {
        u64 open = stats.open, active = stats.active, conns = stats.conns;
        memset(&stats, 0, sizeof stats);
        stats.open = open, stats.active = active, stats.conns = conns;
        put_json(c, 200, "", LITERAL("{}"));
    } else {
        c->is_message = !strncmp(head, "POST /v1/messages", 17);
        begin_chat(c, body, body_len);
    }
}

// Answers every request that has arrived whole, one after the other.  False when the peer is gone.
static int serve(Connection *c) {
    while (!c->streaming && c->heap_index == NOT_WAITING) {
        c->in[c->in_len] = 0;
        char *head_end = memmem(c->in, c->in_len, LITERAL("\r\n\r\n"));
        if (!head_end) return 1;
        int head_len = head_end - c->in + 4, body_len, total;
        head_end[2] = 0; // the head as a string, for a moment
        char *length = strcasestr(c->in, "\r\ncontent-length:");
        int chunked = strcasestr(c->in, "\r\ntransfer-encoding: chunked") != NULL;
        body_len = length ? atoi(length + 17) : 0;
        head_end[2] = '\r';
        if (chunked) { // good enough for JSON: the body is searched, never decoded
            char *last = memmem(c->in + head_len, c->in_len - head_len, LITERAL("0\r\n\r\n"));
            if (!last) return 1;
            body_len = last + 5 - (c->in + head_len);
        }
        total = head_len + body_len;
        if (c->in_len < total) return 1;
        answer(c, c->in, head_len, c->in + head_len, body_len);
        memmove(c->in, c->in + total, c->in_len - total);
        c->in_len -= total;
        if (!flush(c)) return 0;
    }
    return 1;
}

// --- The loop ---

static void accept_all(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        Connection *c = calloc(1, sizeof *c);
        c->fd = fd;
        c->heap_index = NOT_WAITING;
        c->in_cap = 4096;
        c->in = malloc(c->in_cap + 1);
        stats.open++;
        stats.conns++;
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    }
}

// Reads what is there.  False when the peer is gone.
static int fill(Connection *c) {
    for (;;) {
        if (c->in_len == c->in_cap) {
            c->in_cap *= 2;
            c->in = realloc(c->in, c->in_cap + 1);
        }
        int got = recv(c->fd, c->in + c->in_len, c->in_cap - c->in_len, 0);
        if (got == 0) return 0;
        if (got < 0) return errno == EAGAIN;
        c->in_len += got;
    }
}

static int react(Connection *c, unsigned events) {
    if (events & (EPOLLHUP | EPOLLERR)) return 0;
    if (events & EPOLLOUT && !flush(c)) return 0;
    if (events & (EPOLLIN | EPOLLRDHUP)) return fill(c) && serve(c);
    return 1;
}

// The connection's time has come: its next event, or its whole answer.
static int wake(Connection *c) {
    if (c->streaming) {
        put_next_event(c);
        if (c->streaming && c->behaviour.interval_ms)
            wait_until(c, c->due_ns + c->behaviour.interval_ms * 1000000ull);
        while (c->streaming && c->heap_index == NOT_WAITING) put_next_event(c);
    } else {
        put_completion(c);
    }
    return flush(c) && serve(c);
}

static int listen_on(int port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) {
        perror("mockllm: listen");
        exit(1);
    }
    return listener;
}

int main(int argc, char **argv) {
    int port = argc > 1 ? atoi(argv[1]) : 9001;
    if (argc > 2) defaults.chunks = atoi(argv[2]);
    if (argc > 3) defaults.interval_ms = atoi(argv[3]);
    if (argc > 4) defaults.delay_ms = atoi(argv[4]);
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    int listener = listen_on(port);
    poller = epoll_create1(0);
    struct epoll_event events[256], accepting = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &accepting);
    for (;;) {
        int timeout_ms = -1;
        if (heap_len) {
            u64 now = now_ns(), due = heap[0]->due_ns;
            timeout_ms = due <= now ? 0 : (int)((due - now + 999999) / 1000000);
        }
        int count = epoll_wait(poller, events, 256, timeout_ms);
        for (int i = 0; i < count; i++) {
            Connection *c = events[i].data.ptr;
            if (!c) accept_all(listener);
            else if (!react(c, events[i].events)) drop(c);
        }
        u64 now = now_ns();
        while (heap_len && heap[0]->due_ns <= now) {
            Connection *c = heap[0];
            wait_no_more(c);
            if (!wake(c)) drop(c);
        }
    }
}
