// The sink where there is a compiler: what sink-child.ts does, in a third of its CPU time. A thread for each connection. It is told
// runs and asked for findings by lines on stdin, and answers by lines on stdout; it ends when stdin does.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define IN_BYTES 65536
#define OUT_BYTES 32768
/** The subject stands within this much of the head, also behind what a relay puts before it. */
#define HEAD_BYTES 2048

static SSL_CTX *tls;
static char *user, *password;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char run[32] = "";
static long run_number, expected, arrived, doubled, connections;
static double *at;

enum mode { COMMAND, PASSWORD, DATA };

struct session {
  int fd;
  SSL *ssl;
  int logged_in, closing, starting_tls;
  long counted_in;
  enum mode mode;
  char in[IN_BYTES + 8], out[OUT_BYTES], head[HEAD_BYTES + 1];
  int in_len, out_len, head_len;
};

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void say(struct session *s, const char *text) {
  int len = strlen(text);
  if (s->out_len + len < OUT_BYTES) {
    memcpy(s->out + s->out_len, text, len);
    s->out_len += len;
  } else s->closing = 1;
}

static void count(struct session *s) {
  double arrived_at = now_ms();
  char of_run[32];
  long id;
  s->head[s->head_len] = 0;
  char *subject = strstr(s->head, "Subject: bench ");
  if (!subject || sscanf(subject, "Subject: bench %31[a-z0-9]-%ld", of_run, &id) != 2) return;
  pthread_mutex_lock(&lock);
  if (strcmp(of_run, run) == 0 && id >= 0 && id < expected) {
    if (s->counted_in != run_number) connections++;
    s->counted_in = run_number;
    if (at[id] > 0) doubled++;
    else {
      at[id] = arrived_at;
      if (++arrived == expected) puts("all");
    }
  }
  pthread_mutex_unlock(&lock);
}

static void log_in(struct session *s, const char *response) {
  unsigned char clear[512];
  int len = strlen(response);
  s->mode = COMMAND;
  s->logged_in = 0;
  if (len <= 600 && (len = EVP_DecodeBlock(clear, (const unsigned char *)response, len)) > 0) {
    clear[len] = 0;
    char *name = memchr(clear, 0, len);
    if (name && ++name < (char *)clear + len) s->logged_in = !strcmp(name, user) && !strcmp(name + strlen(name) + 1, password);
  }
  say(s, s->logged_in ? "235 2.7.0 Welcome\r\n" : "535 5.7.8 Wrong password\r\n");
}

static void command(struct session *s, char *line) {
  if (!strncasecmp(line, "MAIL", 4)) say(s, s->logged_in ? "250 2.1.0 OK\r\n" : "530 5.7.0 Log in first\r\n");
  else if (!strncasecmp(line, "RCPT", 4)) say(s, "250 2.1.5 OK\r\n");
  else if (!strncasecmp(line, "DATA", 4)) {
    s->mode = DATA;
    s->head_len = 0;
    say(s, "354 Go on\r\n");
  } else if (!strncasecmp(line, "EHLO", 4)) {
    say(s, "250-sink.example.test\r\n250-PIPELINING\r\n250-SIZE 157286400\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n");
    say(s, s->ssl ? "250 AUTH PLAIN\r\n" : "250 STARTTLS\r\n");
  } else if (!strncasecmp(line, "STARTTLS", 8) && !s->ssl) {
    s->starting_tls = 1;
    say(s, "220 2.0.0 Go ahead\r\n");
  } else if (!strncasecmp(line, "AUTH PLAIN", 10)) {
    if (!s->ssl) say(s, "538 5.7.11 Encryption required\r\n");
    else if (line[10] == ' ') log_in(s, line + 11);
    else {
      s->mode = PASSWORD;
      say(s, "334 \r\n");
    }
  } else if (!strncasecmp(line, "QUIT", 4)) {
    s->closing = 1;
    say(s, "221 2.0.0 Bye\r\n");
  } else if (!strncasecmp(line, "RSET", 4) || !strncasecmp(line, "NOOP", 4)) say(s, "250 2.0.0 OK\r\n");
  else say(s, "500 5.5.2 Not known here\r\n");
}

/** `seen`: so much of the input was looked at before. */
static void take(struct session *s, int seen) {
  char *p = s->in, *end = s->in + s->in_len;
  if (s->mode != DATA) seen = 0;
  while (p < end && !s->starting_tls) {
    if (s->mode == DATA) {
      char *dot = memmem(p, end - p, "\r\n.\r\n", 5);
      int fresh = (dot ? dot : end) - (p + seen);
      if (fresh > HEAD_BYTES - s->head_len) fresh = HEAD_BYTES - s->head_len;
      if (fresh > 0) {
        memcpy(s->head + s->head_len, p + seen, fresh);
        s->head_len += fresh;
      }
      seen = 0;
      if (!dot) {
        // of a message only what may be the beginning of its end
        if (end - p > 4) p = end - 4;
        break;
      }
      p = dot + 5;
      s->mode = COMMAND;
      say(s, "250 2.0.0 Kept\r\n");
      count(s);
    } else {
      char *eol = memmem(p, end - p, "\r\n", 2);
      if (!eol) break;
      *eol = 0;
      if (s->mode == PASSWORD) log_in(s, p);
      else command(s, p);
      *eol = '\r';
      // the line's own end may be the first half of a message's last line
      p = s->mode == DATA ? eol : eol + 2;
    }
  }
  s->in_len = s->starting_tls ? 0 : end - p;
  memmove(s->in, p, s->in_len);
}

static void *serve(void *argument) {
  struct session *s = argument;
  say(s, "220 sink.example.test ESMTP\r\n");
  for (;;) {
    if (s->out_len > 0) {
      int sent = s->ssl ? SSL_write(s->ssl, s->out, s->out_len) : write(s->fd, s->out, s->out_len);
      if (sent != s->out_len) break;
      s->out_len = 0;
    }
    if (s->closing) break;
    if (s->starting_tls) {
      s->starting_tls = 0;
      s->ssl = SSL_new(tls);
      SSL_set_fd(s->ssl, s->fd);
      if (SSL_accept(s->ssl) != 1) break;
    }
    int room = IN_BYTES - s->in_len;
    int got = s->ssl ? SSL_read(s->ssl, s->in + s->in_len, room) : read(s->fd, s->in + s->in_len, room);
    if (got <= 0) break;
    int seen = s->in_len;
    s->in_len += got;
    take(s, seen);
  }
  if (s->ssl) {
    if (s->closing) SSL_shutdown(s->ssl);
    SSL_free(s->ssl);
  }
  close(s->fd);
  free(s);
  return NULL;
}

static void *accept_all(void *argument) {
  int listener = *(int *)argument, one = 1;
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) continue;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct session *s = calloc(1, sizeof *s);
    s->fd = fd;
    pthread_t thread;
    pthread_create(&thread, NULL, serve, s);
    pthread_detach(thread);
  }
}

static void obey(char *line) {
  char name[32];
  long messages;
  pthread_mutex_lock(&lock);
  if (sscanf(line, "expect %31s %ld", name, &messages) == 2) {
    strcpy(run, name);
    run_number++;
    expected = messages;
    arrived = doubled = connections = 0;
    free(at);
    at = calloc(messages, sizeof *at);
    puts("ready");
  } else {
    printf("{\"doubled\":%ld,\"connections\":%ld,\"arrivedAt\":[", doubled, connections);
    for (long id = 0, first = 1; id < expected; id++)
      if (at[id] > 0) {
        printf("%s[%ld,%.3f]", first ? "" : ",", id, at[id]);
        first = 0;
      }
    puts("]}");
  }
  pthread_mutex_unlock(&lock);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  user = argv[1];
  password = argv[2];
  signal(SIGPIPE, SIG_IGN);
  setvbuf(stdout, NULL, _IOLBF, 1 << 20);
  tls = SSL_CTX_new(TLS_server_method());
  SSL_CTX_set_read_ahead(tls, 1);
  X509 *cert = PEM_read_bio_X509(BIO_new_mem_buf(getenv("SINK_CERT"), -1), NULL, NULL, NULL);
  EVP_PKEY *key = PEM_read_bio_PrivateKey(BIO_new_mem_buf(getenv("SINK_KEY"), -1), NULL, NULL, NULL);
  if (SSL_CTX_use_certificate(tls, cert) != 1 || SSL_CTX_use_PrivateKey(tls, key) != 1) return 1;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, len) || listen(listener, 128)) return 1;
  getsockname(listener, (struct sockaddr *)&address, &len);
  printf("%d\n", ntohs(address.sin_port));
  pthread_t acceptor;
  pthread_create(&acceptor, NULL, accept_all, &listener);
  char line[256];
  while (fgets(line, sizeof line, stdin)) obey(line);
  return 0;
}
