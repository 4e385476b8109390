/* zygote.h - what the prefork pool and its zygote say to each other.
 *
 * Over one SOCK_SEQPACKET pair: commands down, reports up, each one packet. The end of the
 * stream downwards means: kill all children and their process groups, reap them, report that,
 * and exit. */
#ifndef CEL_POOL_ZYGOTE_H
#define CEL_POOL_ZYGOTE_H

#include <stdint.h>
#include <sys/types.h>

#include "pool/pool.h"

typedef enum cel__zygote_kind {
    CEL_ZYGOTE_FORK, /* command: number, and two descriptors: the child's socket, its claim page */
    CEL_ZYGOTE_KILL, /* command: number, value is the signal; to the process group if it is KILL */
    CEL_ZYGOTE_FORKED, /* report: number, pid */
    CEL_ZYGOTE_FAILED, /* report: number, value is the errno of fork() */
    CEL_ZYGOTE_EXITED, /* report: number, pid, value is the status of waitpid() */
} cel__zygote_kind;

typedef struct cel__zygote_packet {
    uint32_t kind;
    int32_t number; /* of the child; the pool never uses one twice */
    int32_t pid;
    int32_t value;
} cel__zygote_packet;

struct cel_zygote {
    pid_t pid;
    int fd; /* control; non-blocking */
};

/* Runs a child: answers the requests that come through `fd` until QUIT or the end of the
 * stream. Never returns. `page_fd` is the claim page. Called in the new process. */
_Noreturn void cel__child_main(const cel_pool_host *host, int fd, int page_fd, int number);

#endif
