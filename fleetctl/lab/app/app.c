/* The example application: a small HTTP/1.1 server that can be told to misbehave.
 *
 *   GET /            "revision R", "instance I", "received N" (N: bytes of the request's body)
 *   GET /healthz     200, or 503 while it is told to fail
 *   GET /version     {"revision": "R", "instance": "I"}
 *   GET /slow?ms=N   as /, N milliseconds later
 *   GET /download?kb=N&ms=M   N KiB, spread over M milliseconds
 *   GET /echo        with a websocket handshake: echoes frames of up to 125 bytes; when the server
 *                    stops, it says 1001 (going away) and closes
 *   anything else    404
 *
 * Every answer carries X-Revision and X-Instance. POST and PUT are answered as GET is.
 *
 * Environment (seconds count from the start, fractions allowed):
 *   REVISION, FLEETCTL_INSTANCE (default: the host name), PORT (8080)
 *   PREFIX=/P              all of the above is found below /P too
 *   START_SECONDS=N        nothing listens for that long
 *   FAIL_HEALTH=1          /healthz answers 503;  FAIL_HEALTH_AFTER=N  from then on
 *   EXIT_AFTER=N           exits then (0: at once) with EXIT_CODE (1)
 *   HANG=1                 accepts, never answers;  HANG_AFTER=N  from then on
 *   DELAY_MS=N             each answer except /healthz waits that long
 *   STATUS_AFTER=N         / answers with STATUS (500) from then on
 *   IGNORE_TERM=1          SIGTERM and SIGINT do nothing
 *
 * SIGTERM or SIGINT: accepts nothing more, ends idle connections, finishes open requests with
 * "Connection: close", exits with 0.
 *
 * Called as "app check", it asks its own /healthz and exits with 0 or 1 (for HEALTHCHECK CMD).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_LIMIT = 16384, REQUEST_TIMEOUT_MS = 30000 };

struct request {
    char method[16];
    char target[1024];
    int keep_alive;
    long body;
    char key[65]; /* of a websocket handshake; empty without one */
};

static const char *revision, *instance;
static double started;
static int stop_pipe[2]; /* readable once the server stops; never read, so it wakes everyone */
static volatile int stopping;
static pthread_mutex_t count_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t count_changed = PTHREAD_COND_INITIALIZER;
static int connections;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static const char *text(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static double number(const char *name, double otherwise) {
    return atof(text(name, "")) != 0 || *text(name, "") ? atof(text(name, "")) : otherwise;
}

static void wait_seconds(double seconds) {
    struct timespec t = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
    while (nanosleep(&t, &t) == -1 && errno == EINTR) {
    }
}

/* Is a misbehaviour due: NAME=1, or NAME_AFTER seconds have passed? */
static int due(const char *name, const char *after) {
    double limit = number(after, -1);
    return number(name, 0) != 0 || (limit >= 0 && now() - started >= limit);
}

static int send_all(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return -1;
        data += sent;
        size -= (size_t)sent;
    }
    return 0;
}

static int answer(int fd, const struct request *request, int status, const char *type,
                  const char *format, ...) {
    char body[4096], head[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(body, sizeof body, format, arguments);
    va_end(arguments);
    int keep = request->keep_alive && !stopping;
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n"
                        "X-Revision: %s\r\nX-Instance: %s\r\nConnection: %s\r\n\r\n",
                        status, status < 400 ? "OK" : "Error", type, length, revision, instance,
                        keep ? "keep-alive" : "close");
    int more = strcmp(request->method, "HEAD") ? length : 0;
    char packet[sizeof head + sizeof body];
    memcpy(packet, head, (size_t)size);
    memcpy(packet + size, body, (size_t)more);
    return send_all(fd, packet, (size_t)(size + more)) == 0 && keep ? 0 : -1;
}

static int path_is(const struct request *request, const char *path) {
    size_t length = strlen(path);
    return strncmp(request->target, path, length) == 0 && strchr("?", request->target[length]);
}

static int readable(int fd, int idle);

static uint32_t rotated(uint32_t x, int n) { return x << n | x >> (32 - n); }

/* SHA-1 of at most 119 bytes. */
static void sha1(const char *text, unsigned char digest[20]) {
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}, w[80];
    unsigned char padded[128] = {0};
    size_t size = strlen(text), end = size + 9 > 64 ? 128 : 64;
    memcpy(padded, text, size);
    padded[size] = 0x80;
    padded[end - 2] = (unsigned char)(size * 8 >> 8);
    padded[end - 1] = (unsigned char)(size * 8);
    for (const unsigned char *block = padded; block < padded + end; block += 64) {
        for (int i = 0; i < 80; i++)
            w[i] = i < 16 ? (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
                                (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3]
                          : rotated(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 || i >= 60 ? b ^ c ^ d
                                                         : (b & c) | (b & d) | (c & d);
            static const uint32_t k[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
            uint32_t next = rotated(a, 5) + f + e + k[i / 20] + w[i];
            e = d, d = c, c = rotated(b, 30), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) digest[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
}

/* The answer to a websocket's key, as RFC 6455 has it. */
static void accept_key(const char *key, char accepted[29]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char joined[128];
    unsigned char digest[21] = {0};
    snprintf(joined, sizeof joined, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1(joined, digest);
    for (int i = 0; i < 28; i++) {
        int bit = 6 * i, pair = digest[bit / 8] << 8 | (bit / 8 < 20 ? digest[bit / 8 + 1] : 0);
        accepted[i] = digits[pair >> (10 - bit % 8) & 63];
    }
    accepted[27] = '=';
    accepted[28] = 0;
}

/* A websocket until one side ends it. Always -1: the connection is used up. */
static int echo(int fd, const char *key) {
    char accepted[29], head[512];
    accept_key(key, accepted);
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
                        "X-Revision: %s\r\nX-Instance: %s\r\n\r\n",
                        accepted, revision, instance);
    if (send_all(fd, head, (size_t)size)) return -1;
    while (readable(fd, 1)) {
        unsigned char frame[6], reply[127];
        if (recv(fd, frame, 6, MSG_WAITALL) != 6) return -1;
        int length = frame[1] & 127, what = frame[0] & 15;
        if (length > 125 || !(frame[1] & 128)) return -1;
        if (length && recv(fd, reply + 2, (size_t)length, MSG_WAITALL) != length) return -1;
        for (int i = 0; i < length; i++) reply[2 + i] ^= frame[2 + i % 4];
        reply[0] = (unsigned char)(0x80 | (what == 9 ? 10 : what)); /* ping: pong */
        reply[1] = (unsigned char)length;
        if (send_all(fd, (const char *)reply, (size_t)length + 2) || what == 8) return -1;
    }
    send_all(fd, "\x88\x02\x03\xe9", 4);
    return -1;
}

static int download(int fd, const struct request *request) {
    static const char line[1025] = {[0 ... 1022] = '.', [1023] = '\n'};
    const char *kb = strstr(request->target, "kb="), *ms = strstr(request->target, "ms=");
    long count = kb ? atol(kb + 3) : 1;
    double each = ms && count > 0 ? atof(ms + 3) / 1000 / count : 0;
    char head[512];
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %ld\r\n"
                        "X-Revision: %s\r\nX-Instance: %s\r\nConnection: close\r\n\r\n",
                        count * 1024, revision, instance);
    if (send_all(fd, head, (size_t)size)) return -1;
    for (; count > 0; count--) {
        wait_seconds(each);
        if (send_all(fd, line, 1024)) return -1;
    }
    return -1;
}

static int serve(int fd, const struct request *request) {
    if (path_is(request, "/healthz")) {
        if (due("FAIL_HEALTH", "FAIL_HEALTH_AFTER"))
            return answer(fd, request, 503, "text/plain", "failing: told to\n");
        return answer(fd, request, 200, "text/plain", "ok\n");
    }
    double delay = number("DELAY_MS", 0);
    const char *asked = strstr(request->target, "?ms=");
    int slow = path_is(request, "/slow");
    if (slow && asked) delay += atof(asked + 4);
    if (delay > 0) wait_seconds(delay / 1000);
    if (path_is(request, "/version"))
        return answer(fd, request, 200, "application/json",
                      "{\"revision\": \"%s\", \"instance\": \"%s\"}\n", revision, instance);
    if (path_is(request, "/download")) return download(fd, request);
    if (path_is(request, "/echo") && *request->key) return echo(fd, request->key);
    if (!slow && !path_is(request, "/"))
        return answer(fd, request, 404, "text/plain", "not found\n");
    int status = due("", "STATUS_AFTER") ? (int)number("STATUS", 500) : 200;
    return answer(fd, request, status, "text/plain", "revision %s\ninstance %s\nreceived %ld\n",
                  revision, instance, request->body);
}

/* Wait for bytes. 1: readable, 0: idle and the server stops, or nothing came in time. */
static int readable(int fd, int idle) {
    struct pollfd wait[2] = {{fd, POLLIN, 0}, {stop_pipe[0], POLLIN, 0}};
    for (;;) {
        int ready = poll(wait, idle ? 2 : 1, idle ? -1 : REQUEST_TIMEOUT_MS);
        if (ready < 0 && errno == EINTR) continue;
        return ready > 0 && wait[0].revents != 0;
    }
}

static const char *header(const char *head, const char *name) {
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':')
            return line + 3 + length + strspn(line + 3 + length, " ");
    return NULL;
}

static int parse(const char *head, struct request *request) {
    int minor = 0;
    if (sscanf(head, "%15s %1023s HTTP/1.%d", request->method, request->target, &minor) != 3)
        return -1;
    const char *connection = header(head, "Connection"), *length = header(head, "Content-Length");
    request->keep_alive = connection ? strncasecmp(connection, "close", 5) != 0 : minor >= 1;
    if (minor == 0 && !(connection && strncasecmp(connection, "keep-alive", 10) == 0))
        request->keep_alive = 0;
    request->body = length ? atol(length) : 0;
    const char *key = header(head, "Sec-WebSocket-Key"), *prefix = text("PREFIX", "");
    if (key && sscanf(key, "%64[A-Za-z0-9+/=]", request->key) != 1) return -1;
    size_t below = strlen(prefix);
    if (below && !strncmp(request->target, prefix, below) &&
        strchr("/?", request->target[below])) {
        const char *rest = request->target + below; /* at a '/', a '?' or the end */
        memmove(request->target + (*rest != '/'), rest, strlen(rest) + 1);
        request->target[0] = '/';
    }
    return header(head, "Transfer-Encoding") || request->body < 0 ? -1 : 0;
}

static void converse(int fd) {
    char buffer[HEAD_LIMIT + 1];
    size_t held = 0;
    for (;;) {
        char *end;
        buffer[held] = 0;
        while (!(end = strstr(buffer, "\r\n\r\n"))) {
            if (held == HEAD_LIMIT || !readable(fd, held == 0)) return;
            ssize_t got = recv(fd, buffer + held, HEAD_LIMIT - held, 0);
            if (got <= 0) return;
            held += (size_t)got;
            buffer[held] = 0;
        }
        struct request request = {0};
        end[2] = 0; /* the last header keeps its line end */
        if (parse(buffer, &request)) {
            answer(fd, &request, 400, "text/plain", "bad request\n");
            return;
        }
        size_t head = (size_t)(end - buffer) + 4, extra = held - head;
        size_t taken = extra < (size_t)request.body ? extra : (size_t)request.body;
        memmove(buffer, buffer + head + taken, held - head - taken);
        held -= head + taken;
        for (long missing = request.body - (long)taken; missing > 0;) {
            char sink[4096];
            size_t want = missing < (long)sizeof sink ? (size_t)missing : sizeof sink;
            if (!readable(fd, 0)) return;
            ssize_t got = recv(fd, sink, want, 0);
            if (got <= 0) return;
            missing -= got;
        }
        while (due("HANG", "HANG_AFTER")) wait_seconds(3600);
        if (serve(fd, &request)) return;
    }
}

static void *connection(void *argument) {
    int fd = (int)(long)argument, one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    converse(fd);
    shutdown(fd, SHUT_RDWR);
    close(fd);
    pthread_mutex_lock(&count_lock);
    connections--;
    pthread_cond_signal(&count_changed);
    pthread_mutex_unlock(&count_lock);
    return NULL;
}

static void accept_all(int listener) {
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) return;
        pthread_t thread;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, 128 * 1024);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        pthread_mutex_lock(&count_lock);
        connections++;
        pthread_mutex_unlock(&count_lock);
        if (pthread_create(&thread, &attributes, connection, (void *)(long)fd)) {
            close(fd);
            pthread_mutex_lock(&count_lock);
            connections--;
            pthread_mutex_unlock(&count_lock);
        }
    }
}

static void *exit_later(void *unused) {
    wait_seconds(number("EXIT_AFTER", 0));
    fprintf(stderr, "exiting: told to\n");
    exit((int)number("EXIT_CODE", 1));
    return unused;
}

static int check(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval limit = {2, 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    static const char ask[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    char reply[16] = "";
    if (connect(fd, (struct sockaddr *)&address, sizeof address) ||
        send_all(fd, ask, sizeof ask - 1) || recv(fd, reply, 12, MSG_WAITALL) != 12)
        return 1;
    return strcmp(reply, "HTTP/1.1 200") != 0;
}

static int listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1024)) {
        perror("listen");
        exit(1);
    }
    return fd;
}

/* Until SIGTERM or SIGINT comes (unless told to ignore them). */
static void run(int listener, int signals) {
    struct pollfd wait[2] = {{listener, POLLIN, 0}, {signals, POLLIN, 0}};
    for (;;) {
        if (poll(wait, 2, -1) < 0) continue;
        if (wait[0].revents) accept_all(listener);
        struct signalfd_siginfo seen;
        if (wait[1].revents && read(signals, &seen, sizeof seen) == sizeof seen &&
            number("IGNORE_TERM", 0) == 0)
            return;
    }
}

int main(int argc, char **argv) {
    static char name[256];
    int port = (int)number("PORT", 8080);
    if (argc > 1 && strcmp(argv[1], "check") == 0) return check(port);

    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigaddset(&mask, SIGINT);
    sigprocmask(SIG_BLOCK, &mask, NULL); /* as process 1 only a blocked signal arrives */
    int signals = signalfd(-1, &mask, SFD_CLOEXEC);

    started = now();
    gethostname(name, sizeof name - 1);
    revision = text("REVISION", "0");
    instance = text("FLEETCTL_INSTANCE", name);
    if (pipe(stop_pipe)) return 1;
    printf("starting revision %s\n", revision);
    fflush(stdout);
    pthread_t timer;
    double life = number("EXIT_AFTER", -1);
    if (life == 0) exit_later(NULL);
    if (life > 0) pthread_create(&timer, NULL, exit_later, NULL);

    struct pollfd early = {signals, POLLIN, 0};
    if (poll(&early, 1, (int)(number("START_SECONDS", 0) * 1000)) > 0) return 0;
    int listener = listen_on(port);
    printf("listening on port %d\n", port);
    fflush(stdout);
    run(listener, signals);

    printf("stopping\n");
    fflush(stdout);
    stopping = 1;
    accept_all(listener); /* who is in the queue already is served */
    close(listener);
    if (write(stop_pipe[1], "x", 1) != 1) return 1;
    pthread_mutex_lock(&count_lock);
    while (connections) pthread_cond_wait(&count_changed, &count_lock);
    pthread_mutex_unlock(&count_lock);
    return 0;
}
