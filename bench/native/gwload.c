// gwload: a load client for OpenAI-compatible gateways.  HTTP/1.1 keep-alive, one thread, epoll.
//
//     gcc -O2 -o gwload gwload.c
//     ./gwload PORT CLIENTS SECONDS MODEL STREAM(0|1) [-H 'Name: value']... [-P PATH] [-E LAST_WORDS] [-T MAX_TOKENS] [-w WARM_S] [-r RAMP_S]
//              [-x ABANDON_AFTER_CHUNKS] [-n MAX_REQUESTS] [-k]
//
//     |-- ramp: clients start one after the other --|            (within the warm-up, so that paced streams are out of step)
//     |-- warm-up: nothing counts ----------------------|-- window of SECONDS: everything counts --|
//                                                     "open"                                     "close"  {result}
//
// It prints three lines: "open" and "close" at the edges of the window, so that whoever started it can read the gateway's
// CPU time for exactly that span, and then one JSON object.  "begun" in it is not of the window: all requests that were
// ever sent.  With -k every connection stays open after "close" until standard input ends.  Percentiles are in µs.
// Transit is the time from mockllm's stamp to the read that brought it.
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

#define READ_BYTES 65536
#define TAIL_BYTES 256 // what is kept of a body: enough for a cut stamp and for "[DONE]" before the end
#define STAMP_BYTES 24 // "t=" and its digits lie within these
#define LITERAL(text) (text), sizeof(text) - 1

typedef unsigned long long u64;
typedef enum { CONNECTING, SENDING, READING, RESTING } Phase;

typedef struct {
    int fd;
    Phase phase;
    int written;
    u64 began_ns;
    // of the response
    int head_done, chunked, closes;
    long content_length, body_bytes;
    int chunks;
    int len, scanned; // of the buffer
    char buffer[READ_BYTES + TAIL_BYTES + 1];
} Client;

typedef struct {
    float *us;
    long len, cap;
} Samples;

static int poller, port, stream, abandon_after, stopping;
static const char *last_words = "[DONE]"; // near the end of a stream that is whole
static long max_requests, started;
static char request[65536];
static int request_len;
static struct {
    u64 requests, chunks, errors, non200, unfinished, abandoned, reconnects;
} counted;
static Samples transit, first, whole;

static u64 now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

// --- Samples ---

static void note(Samples *samples, u64 ns) {
    if (samples->len == samples->cap) {
        samples->cap = samples->cap ? samples->cap * 2 : 65536;
        samples->us = realloc(samples->us, samples->cap * sizeof(float));
    }
    samples->us[samples->len++] = ns / 1000.0f;
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static void print_percentiles(const char *name, Samples *samples) {
    static const double parts[] = {.5, .9, .99, 1};
    qsort(samples->us, samples->len, sizeof(float), ascending);
    printf("\"%s\":", name);
    for (int i = 0; i < 4; i++) {
        if (samples->len) printf("%c%.1f", i ? ',' : '[', samples->us[(long)(parts[i] * (samples->len - 1))]);
        else printf("%cnull", i ? ',' : '[');
    }
    printf("],");
}

static void count_from_here(void) {
    memset(&counted, 0, sizeof counted);
    transit.len = first.len = whole.len = 0;
}

// --- One client's life: connect, then request after request ---

static void watch(Client *c, int operation, unsigned events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    epoll_ctl(poller, operation, c->fd, &event);
}

static void dial(Client *c) {
    int one = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        perror("gwload: socket");
        exit(1);
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    connect(c->fd, (void *)&address, sizeof address);
    c->phase = CONNECTING;
    watch(c, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

static void redial(Client *c) {
    close(c->fd);
    counted.reconnects++;
    dial(c);
}

static void send_rest(Client *c) {
    int sent = send(c->fd, request + c->written, request_len - c->written, MSG_NOSIGNAL);
    if (sent > 0) c->written += sent;
    if (c->written < request_len) return;
    c->phase = READING;
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
}

static void begin(Client *c) {
    if (stopping || (max_requests && started >= max_requests)) {
        c->phase = RESTING;
        watch(c, EPOLL_CTL_MOD, EPOLLIN);
        return;
    }
    started++;
    c->phase = SENDING;
    c->written = c->len = c->scanned = c->head_done = c->chunks = c->body_bytes = 0;
    c->began_ns = now_ns();
    send_rest(c);
}

static void fail(Client *c) {
    counted.errors++;
    redial(c);
}

static void finish(Client *c) {
    int tail = c->len < TAIL_BYTES ? c->len : TAIL_BYTES;
    if (stream && !memmem(c->buffer + c->len - tail, tail, last_words, strlen(last_words))) counted.unfinished++;
    counted.requests++;
    note(&whole, now_ns() - c->began_ns);
    if (c->closes) redial(c);
    else begin(c);
}

// --- Reading ---

// True once the head is complete; then the buffer holds body only.
static int take_head(Client *c) {
    if (c->head_done) return 1;
    c->buffer[c->len] = 0;
    char *end = memmem(c->buffer, c->len, LITERAL("\r\n\r\n"));
    if (!end) return 0;
    end[2] = 0;
    if (strncmp(c->buffer + 9, "200", 3)) counted.non200++;
    char *length = strcasestr(c->buffer, "\r\ncontent-length:");
    c->content_length = length ? atol(length + 17) : -1;
    c->chunked = strcasestr(c->buffer, "\r\ntransfer-encoding: chunked") != NULL;
    c->closes = strcasestr(c->buffer, "\r\nconnection: close") || (!c->chunked && c->content_length < 0);
    int head_len = end + 4 - c->buffer;
    c->len -= head_len;
    memmove(c->buffer, c->buffer + head_len, c->len);
    c->body_bytes = c->len;
    c->head_done = 1;
    return 1;
}

static void take_stamp(Client *c, u64 made_ns, u64 read_ns) {
    if (made_ns < 1000000 || made_ns > read_ns) return; // some other number
    if (!c->chunks++) note(&first, read_ns - c->began_ns);
    counted.chunks++;
    note(&transit, read_ns - made_ns);
}

// Finds the stamps "t=<ns>" that are surely whole.  memchr for '=', which is rare, is many times faster than memmem.
static void scan(Client *c) {
    u64 read_ns = now_ns();
    char *at = c->buffer + c->scanned, *end = c->buffer + c->len;
    while (at < end) {
        char *sign = memchr(at, '=', end - at);
        if (!sign) break;
        if (end - sign < STAMP_BYTES) {
            at = sign;
            break;
        }
        at = sign + 1;
        if (sign == c->buffer || sign[-1] != 't' || *at < '0' || *at > '9') continue;
        u64 made_ns = 0;
        while (*at >= '0' && *at <= '9') made_ns = made_ns * 10 + (*at++ - '0');
        take_stamp(c, made_ns, read_ns);
    }
    c->scanned = at - c->buffer;
    if (c->scanned < c->len - STAMP_BYTES) c->scanned = c->len - STAMP_BYTES;
}

static void keep_tail(Client *c) {
    int drop = c->len - TAIL_BYTES;
    if (drop > c->scanned) drop = c->scanned;
    if (drop <= 0) return;
    memmove(c->buffer, c->buffer + drop, c->len - drop);
    c->len -= drop;
    c->scanned -= drop;
}

static int body_complete(Client *c) {
    if (c->chunked) return c->len >= 5 && !memcmp(c->buffer + c->len - 5, "0\r\n\r\n", 5);
    return c->content_length >= 0 && c->body_bytes >= c->content_length;
}

static void on_end(Client *c) {
    if (c->phase == READING && c->head_done && !c->chunked && c->content_length < 0) finish(c);
    else if (c->phase == READING) fail(c);
    else if (c->phase == RESTING) close(c->fd);
    else redial(c);
}

static void on_readable(Client *c) {
    for (;;) {
        int got = recv(c->fd, c->buffer + c->len, READ_BYTES + TAIL_BYTES - c->len, 0);
        if (got == 0) return on_end(c);
        if (got < 0 && errno == EAGAIN) return;
        if (got < 0) return fail(c);
        if (c->head_done) c->body_bytes += got;
        c->len += got;
        if (!take_head(c)) {
            if (c->len >= READ_BYTES) return fail(c);
            continue;
        }
        scan(c);
        if (abandon_after && c->chunks >= abandon_after) {
            counted.abandoned++;
            counted.requests++;
            return redial(c);
        }
        if (body_complete(c)) return finish(c);
        keep_tail(c);
    }
}

static void react(Client *c, unsigned events) {
    if (c->phase == CONNECTING && events & (EPOLLERR | EPOLLHUP)) {
        usleep(1000); // not there yet: do not spin
        fail(c);
    } else if (c->phase == CONNECTING) {
        begin(c);
    } else {
        if (c->phase == SENDING && events & EPOLLOUT) send_rest(c);
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(c);
    }
}

// --- The loop ---

static void say(const char *line) {
    puts(line);
    fflush(stdout);
}

static void build_request(const char *model, const char *path, const char *headers, int max_tokens) {
    char body[4096];
    int body_len = snprintf(body, sizeof body,
                            "{\"model\":\"%s\",\"messages\":[{\"role\":\"system\",\"content\":\"You are a helpful "
                            "assistant.\"},{\"role\":\"user\",\"content\":\"Hello! Tell me a joke about structured "
                            "concurrency, please.\"}],\"max_tokens\":%d%s}",
                            model, max_tokens, stream ? ",\"stream\":true" : "");
    request_len = snprintf(request, sizeof request,
                           "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n%s"
                           "Content-Length: %d\r\n\r\n%s",
                           path, port, headers, body_len, body);
}

static void print_result(double seconds) {
    printf("{\"begun\":%ld,\"seconds\":%.4f,\"requests\":%llu,\"chunks\":%llu,\"errors\":%llu,\"non200\":%llu,"
           "\"unfinished\":%llu,\"abandoned\":%llu,\"reconnects\":%llu,",
           started, seconds, counted.requests, counted.chunks, counted.errors, counted.non200, counted.unfinished,
           counted.abandoned, counted.reconnects);
    print_percentiles("transit_us", &transit);
    print_percentiles("first_us", &first);
    print_percentiles("request_us", &whole);
    printf("\"requests_s\":%.1f,\"chunks_s\":%.1f}\n", counted.requests / seconds, counted.chunks / seconds);
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc < 6) {
        fprintf(stderr, "usage: gwload PORT CLIENTS SECONDS MODEL STREAM(0|1) [options]: see the top of gwload.c\n");
        return 2;
    }
    port = atoi(argv[1]);
    int clients = atoi(argv[2]), max_tokens = 64, keep = 0, dialled = 0;
    double seconds = atof(argv[3]), warm_s = 0, ramp_s = 0;
    const char *path = "/v1/chat/completions";
    char headers[8192] = "";
    stream = atoi(argv[5]);
    for (int option; (option = getopt(argc - 5, argv + 5, "H:P:E:T:w:r:x:n:k")) != -1;) {
        if (option == 'H') snprintf(headers + strlen(headers), sizeof headers - strlen(headers), "%s\r\n", optarg);
        else if (option == 'P') path = optarg;
        else if (option == 'E') last_words = optarg;
        else if (option == 'T') max_tokens = atoi(optarg);
        else if (option == 'w') warm_s = atof(optarg);
        else if (option == 'r') ramp_s = atof(optarg);
        else if (option == 'x') abandon_after = atoi(optarg);
        else if (option == 'n') max_requests = atol(optarg);
        else if (option == 'k') keep = 1;
        else return 2;
    }
    build_request(argv[4], path, headers, max_tokens);
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    poller = epoll_create1(0);
    Client *all = calloc(clients, sizeof *all);
    struct epoll_event events[512];
    u64 start_ns = now_ns(), open_ns = start_ns + (u64)(warm_s * 1e9), end_ns = open_ns + (u64)(seconds * 1e9);
    int opened = 0;
    for (;;) {
        u64 now = now_ns();
        if (!opened && now >= open_ns) {
            opened = 1;
            open_ns = now;
            end_ns = now + (u64)(seconds * 1e9);
            count_from_here();
            say("open");
        }
        if (now >= end_ns || (max_requests && (long)(counted.requests + counted.errors) >= max_requests)) break;
        int due = ramp_s ? (int)((now - start_ns) / 1e9 / ramp_s * clients) + 1 : clients;
        for (; dialled < due && dialled < clients; dialled++) dial(&all[dialled]);
        int count = epoll_wait(poller, events, 512, dialled < clients ? 1 : 20);
        for (int i = 0; i < count; i++) react(events[i].data.ptr, events[i].events);
    }
    double lasted_s = (now_ns() - open_ns) / 1e9;
    stopping = 1;
    say("close");
    if (keep)
        while (getchar() != EOF) {}
    print_result(lasted_s);
    return 0;
}
