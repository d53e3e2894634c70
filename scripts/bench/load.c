/* Load for Martlet: one thread, epoll, loopback only. `load --help` says what it can do; it prints one JSON object. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
    "load MODE --port P [options]\n"
    "  publish  --conns N --seconds S [--size B]             single messages, as fast as answers come\n"
    "  batch    --conns N --seconds S [--lines L]            NDJSON batches of L messages, as fast as answers come\n"
    "  latency  --subs N --rate R --seconds S [--ws] [--lines L]\n"
    "                                                        paced publishes (or batches), publish to receive\n"
    "  idle     --conns N [--ws] [--hold S] [--ephemeral]    sessions that only wait; ends after S seconds or on SIGTERM\n";

static struct {
    const char *mode;
    int port, conns, subs, lines, size, inflight;
    double seconds, rate, hold;
    bool ws, ephemeral;
} opt = { .conns = 64, .subs = 100, .lines = 1, .size = 120, .seconds = 5, .rate = 1000, .hold = 5, .inflight = 256 };

enum kind { PUBLISHER, SUBSCRIBER };
enum state { CONNECTING, HANDSHAKE, OPEN, BUSY, CLOSED };

typedef struct {
    int fd, number;
    uint8_t kind, state;
    char *in, *out;
    size_t nin, cap, nout, sent;
    uint64_t started;
} conn;

static conn *all;
static int epoll_fd, count_open, count_failed, count_closed;
static uint64_t done_requests, done_messages, failed_requests, received, late;
static volatile sig_atomic_t stop;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *format, ...) {
    va_list list;
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    exit(2);
}

/* Log-linear histogram of microseconds: 64 steps per power of two, so a value is known within 2 %. */
#define STEP 64
static uint64_t bins[STEP * 40], bin_count, bin_max;
static void record(uint64_t us) {
    size_t i = us;
    if (us >= STEP) {
        int shift = 57 - __builtin_clzll(us);
        i = (size_t)STEP * (size_t)(shift + 1) + ((us >> shift) - STEP);
        if (i >= STEP * 40) i = STEP * 40 - 1;
    }
    bins[i]++;
    bin_count++;
    if (us > bin_max) bin_max = us;
}
static double percentile(double p) {
    uint64_t want = (uint64_t)((double)bin_count * p + 0.5), seen = 0;
    for (size_t i = 0; i < STEP * 40; i++) {
        seen += bins[i];
        if (bins[i] && seen >= want) {
            if (i < STEP) return (double)i / 1000;
            size_t shift = i / STEP - 1;
            return (double)((uint64_t)(STEP + i % STEP) << shift) / 1000;
        }
    }
    return (double)bin_max / 1000;
}

static void interest(conn *c, int operation) {
    struct epoll_event event = { .events = EPOLLIN | (c->nout > c->sent || c->state == CONNECTING ? EPOLLOUT : 0), .data.ptr = c };
    epoll_ctl(epoll_fd, operation, c->fd, &event);
}

static void end_connection(conn *c) {
    if (c->state == CLOSED) return;
    if (c->state == OPEN || c->state == BUSY) count_open--, count_closed++;
    else count_failed++;
    close(c->fd);
    free(c->in);
    free(c->out);
    c->in = c->out = NULL;
    c->nin = c->cap = c->nout = c->sent = 0;
    c->state = CLOSED;
}

static void flush_out(conn *c) {
    while (c->sent < c->nout) {
        ssize_t n = send(c->fd, c->out + c->sent, c->nout - c->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) break;
        if (n <= 0) { end_connection(c); return; }
        c->sent += (size_t)n;
    }
    if (c->sent == c->nout) { free(c->out); c->out = NULL; c->nout = c->sent = 0; }
    interest(c, EPOLL_CTL_MOD);
}

static void write_all(conn *c, const char *data, size_t length) {
    if (c->nout == 0) {
        ssize_t n = send(c->fd, data, length, MSG_NOSIGNAL);
        if (n == (ssize_t)length) return;
        if (n < 0 && errno != EAGAIN) { end_connection(c); return; }
        if (n > 0) { data += n; length -= (size_t)n; }
    }
    c->out = realloc(c->out, c->nout + length);
    memcpy(c->out + c->nout, data, length);
    c->nout += length;
    interest(c, EPOLL_CTL_MOD);
}

static void connect_one(conn *c, enum kind kind, int number) {
    c->kind = kind;
    c->number = number;
    c->state = CONNECTING;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket: %s", strerror(errno));
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    /* Many source addresses, so that the ports of one do not run out. */
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000101u + (uint32_t)(number / 200)) };
    bind(c->fd, (struct sockaddr *)&from, sizeof from);
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    c->started = now_ns();
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) die("connect: %s", strerror(errno));
    interest(c, EPOLL_CTL_ADD);
}

static void say_hello(conn *c) {
    char request[600], name[64] = "";
    if (c->kind == PUBLISHER) { c->state = OPEN; count_open++; return; }
    if (!opt.ephemeral) snprintf(name, sizeof name, "&device=load-%d", c->number);
    int n = opt.ws
        ? snprintf(request, sizeof request, "GET /v1/ws?user=load-%d%s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", c->number, name)
        : snprintf(request, sizeof request, "GET /v1/sse?user=load-%d%s HTTP/1.1\r\nHost: localhost\r\n\r\n", c->number, name);
    c->state = HANDSHAKE;
    write_all(c, request, (size_t)n);
}

/* ------------------------------------------------------------------ publishing */

static char *body;
static uint64_t published;

static size_t message(char *to, int user, uint64_t stamp) {
    return (size_t)sprintf(to, "{\"to\":{\"user\":\"load-%d\"},\"type\":\"load\",\"ttl\":600,\"data\":{\"t\":%llu,\"pad\":\"%.*s\"}}",
                           user, (unsigned long long)stamp, opt.size, body);
}

static void publish(conn *c, uint64_t stamp) {
    static char *request;
    if (!request) request = malloc((size_t)opt.lines * ((size_t)opt.size + 160) + 400);
    char *at = request + 300;
    bool batch = opt.lines > 1;
    for (int i = 0; i < opt.lines; i++) {
        at += message(at, (int)(published++ % (uint64_t)opt.subs), stamp);
        if (batch) *at++ = '\n';
    }
    size_t length = (size_t)(at - request) - 300;
    char head[300];
    int n = snprintf(head, sizeof head, "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
                     batch ? "application/x-ndjson" : "application/json", length);
    memcpy(request + 300 - n, head, (size_t)n);
    c->state = BUSY;
    c->started = now_ns();
    write_all(c, request + 300 - n, length + (size_t)n);
}

/* Whether a whole answer lies in the buffer; takes it out. */
static bool answer(conn *c) {
    char *end = memmem(c->in, c->nin, "\r\n\r\n", 4);
    if (!end) return false;
    size_t head = (size_t)(end - c->in) + 4, length = 0;
    char *field = strcasestr(c->in, "\r\ncontent-length:");
    if (field && field < end) length = strtoul(field + 17, NULL, 10);
    if (c->nin < head + length) return false;
    if (memcmp(c->in, "HTTP/1.1 202", 12)) {
        if (!failed_requests++) fprintf(stderr, "%.*s\n", (int)(head + length), c->in);
    } else {
        done_messages += (uint64_t)opt.lines;
    }
    done_requests++;
    c->nin -= head + length;
    memmove(c->in, c->in + head + length, c->nin + 1);
    return true;
}

/* ------------------------------------------------------------------ receiving */

static void receive(conn *c) {
    char *start = c->in, *end = c->in + c->nin, *last = start;
    uint64_t now = now_ns(), seq = 0;
    while (start < end) {
        char *found = memmem(start, (size_t)(end - start), "\"t\":", 4);
        if (!found || end - found < 32) break;
        uint64_t stamp = strtoull(found + 4, NULL, 10);
        received++;
        record(now > stamp ? (now - stamp) / 1000 : 0);
        start = last = found + 4;
    }
    if (opt.ws) for (char *p = c->in; (p = memmem(p, (size_t)(last - p), "\"seq\":", 6)); p += 6) seq = strtoull(p + 6, NULL, 10);
    /* What may be the beginning of another message stays. */
    size_t rest = (size_t)(end - last);
    if (rest > 4096) { last = end - 4096; rest = 4096; }
    memmove(c->in, last, rest);
    c->nin = rest;
    c->in[rest] = 0;
    if (seq) {
        char frame[48];
        int n = snprintf(frame + 6, sizeof frame - 6, "{\"ack\":%llu}", (unsigned long long)seq);
        frame[0] = (char)0x81;
        frame[1] = (char)(0x80 | n);
        memset(frame + 2, 0, 4);  /* a masking key of zeros leaves the text as it is */
        write_all(c, frame, (size_t)n + 6);
    }
}

static void readable(conn *c) {
    for (;;) {
        if (c->cap - c->nin < 4096) {
            c->cap = c->cap ? c->cap * 2 : 8192;
            c->in = realloc(c->in, c->cap + 1);
        }
        ssize_t n = recv(c->fd, c->in + c->nin, c->cap - c->nin, 0);
        if (n < 0 && errno == EAGAIN) break;
        if (n <= 0) { end_connection(c); return; }
        c->nin += (size_t)n;
        c->in[c->nin] = 0;
        if (c->cap - c->nin > 0) break;
    }
    if (c->kind == PUBLISHER) {
        while (c->state == BUSY && answer(c)) {
            c->state = OPEN;
            if (strcmp(opt.mode, "latency")) record((now_ns() - c->started) / 1000);
        }
        return;
    }
    if (c->state == HANDSHAKE) {
        if (c->nin > 12 && memcmp(c->in + 9, opt.ws ? "101" : "200", 3)) {
            if (!count_failed) fprintf(stderr, "%.300s\n", c->in);
            end_connection(c);
            return;
        }
        if (!memmem(c->in, c->nin, "welcome", 7)) return;
        c->state = OPEN;
        count_open++;
        record((now_ns() - c->started) / 1000);
        if (!strcmp(opt.mode, "idle")) { free(c->in); c->in = NULL; c->nin = c->cap = 0; return; }
    }
    if (!strcmp(opt.mode, "idle")) { c->nin = 0; return; }
    receive(c);
}

static void turn(int timeout_ms) {
    static struct epoll_event events[512];
    int n = epoll_wait(epoll_fd, events, 512, timeout_ms);
    for (int i = 0; i < n; i++) {
        conn *c = events[i].data.ptr;
        if (c->state == CONNECTING) {
            int error = 0;
            socklen_t size = sizeof error;
            getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
            if (error) { if (!count_failed) fprintf(stderr, "connect: %s\n", strerror(error)); end_connection(c); continue; }
            say_hello(c);
            if (c->state != CLOSED) interest(c, EPOLL_CTL_MOD);
            continue;
        }
        if (c->state != CLOSED && (events[i].events & EPOLLOUT)) flush_out(c);
        if (c->state != CLOSED && (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) readable(c);
    }
}

static double open_all(conn *first, int count, enum kind kind) {
    uint64_t begin = now_ns();
    int started = 0, before = count_open;
    while (!stop && count_open - before + count_failed < count) {
        while (started < count && started - (count_open - before + count_failed) < opt.inflight) {
            connect_one(&first[started], kind, started);
            started++;
        }
        turn(100);
        if (now_ns() - begin > 120e9) die("only %d of %d connections within 120 s", count_open - before, count);
    }
    return (double)(now_ns() - begin) / 1e9;
}

static void forget(void) { memset(bins, 0, sizeof bins); bin_count = bin_max = 0; }

static void run_closed(void) {
    open_all(all, opt.conns, PUBLISHER);
    uint64_t begin = now_ns(), end = begin + (uint64_t)(opt.seconds * 1e9);
    while (!stop && now_ns() < end && count_open) {
        for (int i = 0; i < opt.conns; i++) if (all[i].state == OPEN) publish(&all[i], now_ns());
        turn(100);
    }
    double seconds = (double)(now_ns() - begin) / 1e9;
    printf("{\"mode\":\"%s\",\"conns\":%d,\"seconds\":%.2f,\"requests\":%llu,\"failed\":%llu,\"messages_per_s\":%.0f,\"answer_p50_ms\":%.3f,\"answer_p99_ms\":%.3f}\n",
           opt.mode, opt.conns, seconds, (unsigned long long)done_requests, (unsigned long long)failed_requests, (double)done_messages / seconds,
           percentile(.5), percentile(.99));
}

static void run_latency(void) {
    open_all(all, opt.subs, SUBSCRIBER);
    open_all(all + opt.subs, opt.conns, PUBLISHER);
    forget();
    uint64_t begin = now_ns(), end = begin + (uint64_t)(opt.seconds * 1e9);
    double gap = 1e9 * opt.lines / opt.rate;
    uint64_t requests = 0;
    int next = 0;
    while (!stop && count_open) {
        uint64_t now = now_ns();
        if (now >= end) break;
        for (;;) {
            uint64_t due = begin + (uint64_t)((double)requests * gap);
            if (due > now) break;
            int tried = 0;
            while (tried < opt.conns && all[opt.subs + next].state != OPEN) next = (next + 1) % opt.conns, tried++;
            if (tried == opt.conns) { late++; break; }
            /* The stamp is when it was due, so waiting for a free connection counts. */
            publish(&all[opt.subs + next], due);
            requests++;
        }
        turn(1);
    }
    uint64_t sent = requests * (uint64_t)opt.lines, wait = now_ns() + 5000000000u;
    while (!stop && received < sent && now_ns() < wait) turn(10);
    printf("{\"mode\":\"latency\",\"transport\":\"%s\",\"subscribers\":%d,\"rate\":%.0f,\"achieved\":%.0f,\"published\":%llu,\"received\":%llu,\"failed\":%llu,"
           "\"receive_p50_ms\":%.3f,\"receive_p99_ms\":%.3f,\"receive_max_ms\":%.3f}\n",
           opt.ws ? "websocket" : "sse", opt.subs, opt.rate, (double)sent / opt.seconds, (unsigned long long)sent, (unsigned long long)received,
           (unsigned long long)failed_requests, percentile(.5), percentile(.99), (double)bin_max / 1000);
}

static void run_idle(void) {
    double seconds = open_all(all, opt.conns, SUBSCRIBER);
    printf("{\"mode\":\"idle\",\"transport\":\"%s\",\"open\":%d,\"failed\":%d,\"seconds\":%.3f,\"accepts_per_s\":%.0f,\"open_p50_ms\":%.3f,\"open_p99_ms\":%.3f}\n",
           opt.ws ? "websocket" : "sse", count_open, count_failed, seconds, count_open / seconds, percentile(.5), percentile(.99));
    fflush(stdout);
    uint64_t end = now_ns() + (uint64_t)(opt.hold * 1e9);
    while (!stop && now_ns() < end && count_open) turn(100);
    if (count_closed) fprintf(stderr, "%d sessions were closed by the server\n", count_closed);
}

static void on_signal(int number) { (void)number; stop = 1; }

int main(int argc, char **argv) {
    if (argc < 2 || !strcmp(argv[1], "--help")) { fputs(usage, argc < 2 ? stderr : stdout); return argc < 2 ? 2 : 0; }
    opt.mode = argv[1];
    bool lines_given = false;
    for (int i = 2; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(name, "--ws")) { opt.ws = true; continue; }
        if (!strcmp(name, "--ephemeral")) { opt.ephemeral = true; continue; }
        i++;
        if (!strcmp(name, "--port")) opt.port = atoi(value);
        else if (!strcmp(name, "--conns")) opt.conns = atoi(value);
        else if (!strcmp(name, "--subs")) opt.subs = atoi(value);
        else if (!strcmp(name, "--lines")) opt.lines = atoi(value), lines_given = true;
        else if (!strcmp(name, "--size")) opt.size = atoi(value);
        else if (!strcmp(name, "--seconds")) opt.seconds = atof(value);
        else if (!strcmp(name, "--rate")) opt.rate = atof(value);
        else if (!strcmp(name, "--hold")) opt.hold = atof(value);
        else if (!strcmp(name, "--inflight")) opt.inflight = atoi(value);
        else die("unknown option %s\n%s", name, usage);
    }
    if (!strcmp(opt.mode, "batch") && !lines_given) opt.lines = 1000;
    if (opt.port <= 0 || opt.conns < 1 || opt.subs < 1 || opt.lines < 1 || opt.size < 0 || opt.size > 60000 || opt.rate <= 0) die("%s", usage);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    signal(SIGTERM, on_signal);
    signal(SIGINT, on_signal);
    signal(SIGPIPE, SIG_IGN);
    body = malloc((size_t)opt.size + 1);
    memset(body, 'x', (size_t)opt.size);
    body[opt.size] = 0;
    all = calloc((size_t)opt.conns + (size_t)opt.subs, sizeof *all);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!strcmp(opt.mode, "publish") || !strcmp(opt.mode, "batch")) run_closed();
    else if (!strcmp(opt.mode, "latency")) run_latency();
    else if (!strcmp(opt.mode, "idle")) run_idle();
    else die("%s", usage);
    return failed_requests || count_failed || count_closed ? 1 : 0;
}
