/* process.h - who a process is, so that others can tell whether it still lives. Any thread. */
#ifndef CEL_SQLITE_PROCESS_H
#define CEL_SQLITE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cel__process {
    int64_t pid;
    int64_t start_time; /* field 22 of /proc/<pid>/stat; 0: unknown */
    char host[65];
    char boot_id[40]; /* changes with every boot of the kernel */
    char pid_ns[32];  /* pids of another namespace mean nothing to us */
} cel__process;

typedef enum cel__life {
    CEL_LIFE_ALIVE,
    CEL_LIFE_DEAD,
    CEL_LIFE_UNKNOWN, /* another machine or container: only its lease tells */
} cel__life;

/* Describes the calling process. */
void cel__process_self(cel__process *out);

/* Tells about `other` as seen by `self`. A zombie is dead. */
cel__life cel__process_life(const cel__process *self, const cel__process *other);

/* Whether a process of this pid namespace lives: pid and start time (0: any) agree and it is no
 * zombie. */
bool cel__process_alive(int64_t pid, int64_t start_time);

#endif
